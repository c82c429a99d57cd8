/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * OpenSSL's heap where it must not fail
 *
 * SQLCipher does not look whether its cipher worked. Where OpenSSL has no memory for one, it crashes or, worse, commits
 * a page that nobody can open again. So a process with a store says that there is no memory and ends: what it had
 * promised is on the disk, and recovery finds the rest.
 */

/* Before any other use of OpenSSL. 0, or HF_E_INTERNAL: too late. */
int crypto_heap_must_not_fail(void);
