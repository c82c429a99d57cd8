/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The schemas, as the SQL that leads to each from the one before; made from migrations/ at build time. */
#include <stdint.h>

extern const char *const store_migrations[];
extern const unsigned store_migrations_count;

/* The newest schema: the shipped ones and what a test has added (store/migrate.h). */
uint32_t schema_newest(void);
/* What makes schema `number` out of the one before. */
const char *schema_sql(uint32_t number);
