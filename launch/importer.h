/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Importer: a fresh `holdfast-signer --import` for each connection
 *
 * What systemd does for a socket unit with Accept=yes. PKCS#8 from outside is parsed there, in a process that has no
 * master key and ends with the connection. At most IMPORTERS_MAX at a time (further connections wait in the
 * backlog), none longer than a minute.
 */
#include <systemd/sd-event.h>

#include "launch/child.h"

#define IMPORTERS_MAX 4

typedef struct Importer Importer;

typedef struct ImporterJob {
        Importer *owner;
        pid_t pid; /* 0: free */
        sd_event_source *child, *timer;
} ImporterJob;

struct Importer {
        sd_event *event;
        sd_event_source *socket;
        ChildSpec spec; /* its one socket is set for each connection */
        ImporterJob jobs[IMPORTERS_MAX];
};

/* Begins to accept on fd (borrowed, non-blocking). `event` and `spec` are set before. 0 or -errno. */
int importer_start(Importer *i, int fd);
/* Stops accepting and kills what runs. */
void importer_deinit(Importer *i);
#define _cleanup_importer_ __attribute__((cleanup(importer_deinit)))
