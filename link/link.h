/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Link: private messages between our processes
 *
 * A Unix SOCK_SEQPACKET socket, one message per packet, at most LINK_MESSAGE_MAX bytes and two descriptors. A
 * message is a fixed header {magic, version, type, job} and a body in wire form (base/wire.h). Both sides check
 * bounds; anything malformed closes the connection, because the peer is either broken or taken over.
 * docs/formats/link.md is the list of bodies; link/signer.h writes and reads those of the signer.
 */
#include "base/wire.h"

#define LINK_VERSION 1
#define LINK_MESSAGE_MAX (160 * 1024) /* a 128 KiB bus message, its attributes and envelope */
#define LINK_FDS_MAX 2
#define LINK_HEADER_SIZE 16

typedef struct LinkHeader {
        uint16_t type;
        uint64_t job;
} LinkHeader;

typedef struct LinkMessage {
        LinkHeader header;
        Bytes body; /* borrowed from the receive buffer */
        int fds[LINK_FDS_MAX];
        size_t n_fds;
} LinkMessage;

/* Begins a message in buf (cleared first); the body is appended by the caller. */
int link_begin(Buffer *buf, uint16_t type, uint64_t job);
/* One packet. 0, -EAGAIN (would block), -EPIPE, -EMSGSIZE. Descriptors stay the caller's. */
int link_send(int fd, Bytes message, const int *fds, size_t n_fds);
/* One packet of two pieces: what is long need not be copied. */
int link_send_with(int fd, Bytes message, Bytes tail);
/* Receives one packet into `buf` (LINK_MESSAGE_MAX bytes of the caller's) and checks the header. 0, -EAGAIN,
 * -ECONNRESET (end), -EPROTO (malformed), -EPROTONOSUPPORT (of another version). On success the caller owns the
 * descriptors. `flags`: MSG_DONTWAIT or 0. */
int link_receive(int fd, int flags, uint8_t *buf, LinkMessage *ret);
void link_message_close(LinkMessage *m);

/* Pass-through sockets. Creates, binds (mode 0600 until chmod by the caller) and listens. */
int link_listen(const char *path, int *ret_fd);
int link_connect(const char *path, int *ret_fd);
