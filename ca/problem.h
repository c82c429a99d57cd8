/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why a CA says no
 *
 * A sentence for the one who asked, with the name of what is wrong ("extension 1.2.3.4 is critical and unknown"). What
 * comes from a stranger's bytes is made printable before it gets in here.
 */
#define CA_PROBLEM_MAX 256

typedef struct CaProblem {
        char text[CA_PROBLEM_MAX]; /* without a full stop; printable ASCII */
} CaProblem;

/* Sets the sentence and returns HF_E_REQUEST_REFUSED. */
int ca_refuse(CaProblem *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));
