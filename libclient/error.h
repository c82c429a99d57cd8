/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Errors of the library
 *
 * Each failing road ends in one of these: they keep the sentence for hf_error_sentence() in the calling
 * thread and return the result, so that a caller writes `return error_set(...)`.
 */
#include <systemd/sd-bus.h>

/* sentence NULL: the general one of the result. */
int error_set(int result, const char *sentence);
/* A positive result stays; -errno becomes a result with a sentence of its own. 0 stays 0. */
int error_from_errno(int r);
/* What sd_bus_call() left: the daemon's own error, or what sd-bus made of an errno. */
int error_from_bus(int r, const sd_bus_error *error);
