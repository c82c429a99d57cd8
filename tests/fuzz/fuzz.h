/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Fuzz targets
 *
 * Each target is this one function (libFuzzer's), which returns 0 or aborts. Linked with replay.c it runs the
 * files of its corpus directory in every test run; built as README.md says, it becomes a fuzzer.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
