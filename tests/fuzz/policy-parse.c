/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: rule files
 *
 * Any bytes either load or are refused with a place in the text and a printable sentence. What loads can be
 * asked: its rules are shown, and decided and explained for a few requests, and the two agree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/explain.h"
#include "tests/fuzz/fuzz.h"

static int some_user(void *userdata, const char *name, uid_t *ret)
{
        (void)userdata;
        if (strlen(name) % 3 == 0)
                return HF_E_INVALID_NAME;
        *ret = (unsigned char)name[0] % 4;
        return 0;
}

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void check_problem(const PolicyProblem *problem, size_t size)
{
        must(strcmp(problem->path, "fuzz") == 0);
        must(problem->line >= 1 && problem->line <= size + 1);
        must(problem->column >= 1 && problem->column <= size + 1);
        must(problem->sentence[0] != '\0');
        for (const char *p = problem->sentence; *p; p++)
                must(*p >= 0x20 && *p < 0x7f);
}

static void check_answer(const Policy *p, PolicyLimits *limits, const PolicyRequest *request)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_EXPLAIN_MAX);
        char line[POLICY_SUGGEST_SIZE];
        PolicyDecision peeked, d;
        PolicyProblem problem;

        policy_peek(p, limits, request, &peeked);
        must(policy_explain(p, limits, request, &text) == 0);
        if (policy_suggest(p, limits, request, line) == 0)
                must(peeked.result && policy_rule_line_check(NULL, line, &problem) == 0);
        policy_decide(p, limits, request, &d);
        must(d.result == peeked.result && d.rule == peeked.rule && d.reason == peeked.reason);
        must(text.len > 0 && text.data[0] == (d.result ? 'r' : 'a'));
}

static void ask(const Policy *p)
{
        static const Uuid uuid = {.b = {1}};
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;

        must(policy_limits_new(8, &limits) == 0);
        for (PolicyOperation op = _POLICY_OP_INVALID; op <= _POLICY_OP_MAX; op++) {
                PolicyRequest request = {
                                .uid = op % 4,
                                .gid = 2,
                                .user = "telemetry",
                                .unit = op % 3 ? "a.service" : NULL,
                                .socket = "/run/holdfast/bus",
                                .operation = op,
                                .key = "device-tls",
                                .uuid = &uuid,
                                .algorithm = "p256",
                                .scheme = "ES256",
                                .now_wall = op * 3600000000ULL,
                                .now_monotonic = op,
                                .count = op % 5,
                };

                check_answer(p, limits, &request);
                request.key = request.algorithm = NULL;
                request.uuid = NULL;
                check_answer(p, limits, &request);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const PolicyParams params = {.names = {.user = some_user, .group = some_user}};
        _cleanup_(policy_unrefp) Policy *p = NULL;
        PolicyProblem problem = {};
        int r = policy_load_text(&params, "fuzz", BYTES(data, size), &problem, &p);

        if (r == HF_E_POLICY_INVALID) {
                must(!p);
                check_problem(&problem, size);
                return 0;
        }
        must(r == 0);
        for (size_t i = 0; i < policy_n_rules(p); i++) {
                _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_SOURCE_MAX);

                must(policy_rule_text(policy_rule_at(p, i), &text) == 0 && text.len > 0);
                must(!memchr(text.data, '\n', text.len));
        }
        ask(p);
        return 0;
}
