/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Explanation
 *
 * The text of `holdfast policy explain`: what would be decided, by which rule, why the rules that came near
 * do not match, and which one line would allow it. It asks the same matching code as the decision and takes
 * nothing from any limit.
 */
#include "policy/decide.h"

#define POLICY_EXPLAIN_RULES_MAX 20U
#define POLICY_EXPLAIN_MAX 65536U /* a buffer of this limit always suffices */
#define POLICY_SUGGEST_SIZE 512U

/* Appends lines, each ending in a newline. `limits` may be NULL (all full). 0, -ENOMEM, -EMSGSIZE. */
int policy_explain(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request, Buffer *ret);
/*
 * The one rule line that would allow what was refused, without newline. 0; HF_E_NOTHING_TO_DO where no line
 * can help: it is allowed already, a deny rule forbids it, or a limit of a matching rule is reached.
 */
int policy_suggest(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request,
                char ret[static POLICY_SUGGEST_SIZE]);
