/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is this a build with -Db_sanitize=address?
 *
 * Its heap is not the C library's, and to report it reads /proc and writes a file. What the service forbids itself but a
 * report needs depends on this one word, and a build for use has nothing of it.
 */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
