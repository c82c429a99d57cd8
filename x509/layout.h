/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files beside those that are read here
 *
 * cert.pem, chain.pem and key.pem say all there is to an identity; the others are the same once more, under the names and in
 * the order that programs insist on. A program whose file is gone, or is of another certificate, does not start, while
 * everything here is well: so this looks.
 */
#include "x509/finding.h"

/*
 * Looks at DIR/NAME: chain.pem, fullchain.pem and bundle.pem, and what the layouts `local` and `named` add, all of it where one
 * file of the layout is there. Adds files-missing with what is not there, else with the first that holds something else.
 * An identity that is not there at all is cert_identity_load()'s to find. 0 or -errno.
 */
int cert_layout_check(const char *directory, const char *name, FindingList *findings);
