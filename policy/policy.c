/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The snapshot itself: owner of source, arena and lists of rules, and what can be read from it. */
#include "policy/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/parse.h"

char *policy_problem_format(const PolicyProblem *problem, char *ret, size_t size)
{
        if (problem->line)
                (void)snprintf(ret, size, "%s:%u:%u: %s", problem->path, problem->line, problem->column,
                                problem->sentence);
        else
                (void)snprintf(ret, size, "%s: %s", problem->path, problem->sentence);
        return ret;
}

int rule_list_add(RuleList *list, const PolicyRule *rule)
{
        if (list->n == list->allocated) {
                size_t n = list->allocated ? list->allocated * 2 : 32;
                const PolicyRule **items = realloc(list->items, n * sizeof(*items));

                if (!items)
                        return -ENOMEM;
                list->items = items;
                list->allocated = n;
        }
        list->items[list->n++] = rule;
        return 0;
}

int policy_new(Policy **ret)
{
        Policy *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->references = 1;
        p->source = BUFFER_INIT(POLICY_SOURCE_MAX);
        *ret = p;
        return 0;
}

Policy *policy_ref(Policy *p)
{
        p->references++;
        return p;
}

Policy *policy_unref(Policy *p)
{
        if (!p || --p->references > 0)
                return NULL;
        free(p->rules.items);
        free(p->denies.items);
        free(p->allows.items);
        arena_deinit(&p->arena);
        buffer_deinit(&p->source);
        free(p);
        return NULL;
}

static void warn_about(const PolicyParams *params, const char *sentence)
{
        PolicyProblem warning = {};

        if (!params->warn)
                return;
        (void)snprintf(warning.path, sizeof(warning.path), "%s", "policy");
        (void)snprintf(warning.sentence, sizeof(warning.sentence), "%s", sentence);
        params->warn(params->warn_userdata, &warning);
}

static int sort_rules(Policy *p)
{
        int r = 0;

        for (size_t i = 0; !r && i < p->rules.n; i++)
                r = rule_list_add(p->rules.items[i]->deny ? &p->denies : &p->allows, p->rules.items[i]);
        return r;
}

int policy_build(Policy *p, const PolicyParams *params, const PolicyFile *files, size_t n,
                PolicyProblem *ret_problem)
{
        _cleanup_(name_table_deinit) NameTable names = {};
        Parser parser = {
                        .params = params,
                        .arena = &p->arena,
                        .names = &names,
                        .rules = &p->rules,
                        .problem = ret_problem,
        };
        int r = 0;

        p->n_files = n;
        for (size_t i = 0; !r && i < n; i++)
                r = parser_run(&parser, files[i].path, BYTES(p->source.data + files[i].at, files[i].len));
        if (!r)
                r = sort_rules(p);
        if (r)
                return r;
        if (p->rules.n == 0)
                warn_about(params, "there is no rule at all: everything is refused");
        else if (!policy_grants(p, POLICY_OP_UNLOCK) || !policy_grants(p, POLICY_OP_CREATE))
                warn_about(params, "no rule lets anybody unlock the store and create keys: "
                                   "nobody administers this machine");
        return 0;
}

int policy_load_text(const PolicyParams *params, const char *path, Bytes text, PolicyProblem *ret_problem,
                Policy **ret)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        PolicyProblem problem;
        PolicyFile file;
        int r = policy_new(&p);

        if (!r)
                r = policy_add_source(p, path, text, &file);
        if (r == -EMSGSIZE) {
                *ret_problem = (PolicyProblem){.sentence = "too large"};
                (void)snprintf(ret_problem->path, sizeof(ret_problem->path), "%s", path);
                return HF_E_POLICY_INVALID;
        }
        if (!r)
                r = policy_build(p, params, &file, 1, &problem);
        if (r == HF_E_POLICY_INVALID)
                *ret_problem = problem;
        if (r)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

int policy_add_source(Policy *p, const char *path, Bytes text, PolicyFile *ret)
{
        const char *copy = arena_strndup(&p->arena, path, strlen(path));
        int r = copy ? buffer_printf(&p->source, "== %s %zu\n", path, text.len) : -ENOMEM;
        size_t at = p->source.len;

        if (!r)
                r = buffer_append(&p->source, text.data, text.len);
        if (r)
                return r;
        *ret = (PolicyFile){.path = copy, .at = at, .len = text.len};
        return 0;
}

Bytes policy_source(const Policy *p)
{
        return buffer_bytes(&p->source);
}

size_t policy_n_rules(const Policy *p)
{
        return p->rules.n;
}

size_t policy_n_files(const Policy *p)
{
        return p->n_files;
}

const PolicyRule *policy_rule_at(const Policy *p, size_t i)
{
        return i < p->rules.n ? p->rules.items[i] : NULL;
}

const PolicyRule *policy_rule_find(const Policy *p, const char *name)
{
        for (size_t i = 0; i < p->rules.n; i++)
                if (p->rules.items[i]->name && strcmp(p->rules.items[i]->name, name) == 0)
                        return p->rules.items[i];
        return NULL;
}

static bool has_somebody(const PolicyRule *rule, RuleWord word, const RuleIds *ids)
{
        return !(rule->words & WORD_BIT(word)) || ids->any || ids->n > 0;
}

bool policy_grants(const Policy *p, PolicyOperation op)
{
        for (size_t i = 0; i < p->allows.n; i++) {
                const PolicyRule *rule = p->allows.items[i];

                if ((rule->reach & POLICY_OP_BIT(op)) && has_somebody(rule, WORD_USER, &rule->users) &&
                                has_somebody(rule, WORD_GROUP, &rule->groups))
                        return true;
        }
        return false;
}

const char *policy_rule_path(const PolicyRule *rule)
{
        return rule->path;
}

unsigned policy_rule_line(const PolicyRule *rule)
{
        return rule->line;
}

const char *policy_rule_name(const PolicyRule *rule)
{
        return rule->name;
}

uint64_t policy_rule_uses(const PolicyRule *rule)
{
        return rule->uses;
}

int policy_rule_text(const PolicyRule *rule, Buffer *ret)
{
        const char *p = (const char *)rule->text.data, *end = p + rule->text.len;
        int r = 0;

        while (!r && p < end) {
                const char *stop = memchr(p, '\n', (size_t)(end - p));
                size_t n;

                if (!stop)
                        return buffer_append(ret, p, (size_t)(end - p));
                for (n = (size_t)(stop - p) - 1; n > 0 && strchr(" \t", p[n - 1]);)
                        n--; /* without the backslash and what stands before it */
                r = buffer_append(ret, p, n);
                for (p = stop + 1; p < end && strchr(" \t", *p);)
                        p++;
                if (!r && n > 0)
                        r = buffer_append(ret, " ", 1);
        }
        return r;
}

int policy_rule_line_check(const PolicyNames *names, const char *text, PolicyProblem *ret_problem)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        PolicyParams params = {.names = names ? *names : (PolicyNames){}};
        int r;

        if (strchr(text, '\n')) {
                *ret_problem = (PolicyProblem){
                                "rule", 1, (unsigned)strcspn(text, "\n") + 1, "a rule is one line"};
                return HF_E_POLICY_INVALID;
        }
        r = policy_load_text(&params, "rule", bytes_str(text), ret_problem, &p);
        if (r)
                return r;
        if (p->rules.n != 1 || p->rules.items[0]->text.len != strlen(text)) {
                *ret_problem = (PolicyProblem){"rule", 1, 1,
                                "exactly one rule without comment and outer blanks "
                                "belongs here"};
                return HF_E_POLICY_INVALID;
        }
        return 0;
}
