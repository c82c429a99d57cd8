/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The direct socket
 *
 * Each accepted connection is a peer-to-peer D-Bus connection on an event source of its own, so that we
 * decide when to read: not while 64 replies wait to be taken, not while its uid has all its jobs in work. A
 * message above HF_BUS_MESSAGE_MAX ends the connection before memory is taken for it (daemon/guard.h).
 * Connections above a limit are accepted and left unread until there is room, so callers wait instead of
 * failing; as many again as the limit of a uid, above that they are closed at once.
 */
#include "daemon/daemon.h"

Connection *connection_ref(Connection *c);
Connection *connection_unref(Connection *c);
/* The peer could not be answered: his connection ends. */
void connection_hang_up(Connection *c);
/* A reply was queued: look whether reading must pause. */
void connection_wrote(Connection *c);
/* The user has room for jobs again, or his pause is over. */
void connection_resume(User *user);

/* A listening SOCK_STREAM socket, owned from now on. */
int listener_new(Daemon *d, int fd);
/* Makes one, in a place that nobody else can exchange (base/listen.h). */
int listener_new_path(Daemon *d, const char *path);
int listener_fd(const Listener *l);
void connection_close_all(Daemon *d);
