/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Matching
 *
 * Does a rule speak of this request? Decision and explanation both ask here, so that they cannot differ.
 */
#include "policy/decide.h"
#include "policy/rule.h"

/* The operation is describe or public and comes with a use that the rule grants: then neither scheme, times
 * nor limits of the rule concern it. */
bool rule_implies(const PolicyRule *rule, PolicyOperation op);
/* WORD_BIT of the first word that does not match, or of all of them; 0: the rule speaks of this request.
 * Times and limits are not looked at. */
uint32_t rule_misses(const PolicyRule *rule, const PolicyRequest *request, const PolicyOperationInfo *op,
                bool all);
