/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One table row a word: how its value is read, whether it takes a list and whether deny rules have it too.
 * What a rule must have as a whole is checked when its line is over.
 */
#include "policy/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/name.h"
#include "policy/lexer.h"

#define RATE_MAX 1000000U /* tokens a period, and in a bucket */
#define USES_MAX 1000000000000ULL
#define UNIT_MAX 255U
#define LABEL_MAX 1024U
#define SOCKET_MAX 107U /* sun_path */
#define NAME_QUOTE_SIZE 80U

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define SUBJECTS (WORD_BIT(WORD_USER) | WORD_BIT(WORD_GROUP) | WORD_BIT(WORD_UNIT) | WORD_BIT(WORD_LABEL))

/* A rule in the making. */
typedef struct Draft {
        Parser *parser;
        Lexer *lexer;
        PolicyRule *rule;
        const char *text_start;
        unsigned column;
} Draft;

/* Fails at an item; the format has one %s for the item's text, made harmless. */
#define fail_item(d, item, format)                                                                           \
        lexer_fail((d)->lexer, (item)->line, (item)->column, (format),                                       \
                        log_escape((item)->text, (char[NAME_QUOTE_SIZE]){}, NAME_QUOTE_SIZE))

/* The same at the last word as a whole. */
#define fail_word(d, format)                                                                                 \
        lexer_fail((d)->lexer, (d)->lexer->word_line, (d)->lexer->word_column, (format), (d)->lexer->name)

static void warn_at(const Parser *parser, const PolicyProblem *warning)
{
        if (parser->params->warn)
                parser->params->warn(parser->params->warn_userdata, warning);
}

static int parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
        uint64_t v = 0;

        if (len == 0 || len > 19 || (text[0] == '0' && len > 1) || strspn(text, "0123456789") < len)
                return HF_E_POLICY_INVALID;
        for (size_t i = 0; i < len; i++)
                v = v * 10 + (uint64_t)(text[i] - '0');
        if (v > max)
                return HF_E_POLICY_INVALID;
        *ret = v;
        return 0;
}

static int copy_item(Draft *d, const char *text, const char **ret)
{
        const char *copy = arena_strndup(d->parser->arena, text, strlen(text));

        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int copy_items(Draft *d, RuleStrings *ret)
{
        size_t n = d->lexer->n_items;
        int r = 0;

        ret->items = arena_alloc(d->parser->arena, n * sizeof(*ret->items));
        if (!ret->items)
                return -ENOMEM;
        for (ret->n = 0; !r && ret->n < n; ret->n++)
                r = copy_item(d, d->lexer->items[ret->n].text, &ret->items[ret->n]);
        return r;
}

/* Who is it? The answer of the first question is kept for the load. */
static int look_up(Draft *d, NameKind kind, const char *name, NameEntry **ret)
{
        const PolicyNames *ask = &d->parser->params->names;
        const char *copy;
        NameEntry *entry;
        bool is_new;
        int r = copy_item(d, name, &copy);

        if (!r)
                r = name_table_get(d->parser->names, kind, copy, &entry, &is_new);
        if (r)
                return r;
        if (is_new && kind == NAME_USER)
                entry->result = ask->user ? ask->user(ask->userdata, name, &entry->id) : HF_E_INVALID_NAME;
        else if (is_new)
                entry->result = ask->group ? ask->group(ask->userdata, name, &entry->id) : HF_E_INVALID_NAME;
        *ret = entry;
        return 0;
}

static void warn_unresolved(Draft *d, const LexerItem *item, const NameEntry *entry)
{
        PolicyProblem warning, *kept = d->lexer->problem;
        const char *noun = entry->kind == NAME_USER ? "user" : "group";

        d->lexer->problem = &warning;
        if (entry->result == HF_E_POLICY_DENIED)
                (void)lexer_fail(d->lexer, item->line, item->column,
                                "%s %s is another account than it was: allow rules do not match by that name until it "
                                "is accepted",
                                noun, entry->name);
        else if (entry->result > 0)
                (void)lexer_fail(d->lexer, item->line, item->column,
                                "there is no %s %s: the rule cannot match by that name until the next reload",
                                noun, entry->name);
        else
                (void)lexer_fail(d->lexer, item->line, item->column,
                                "%s %s could not be looked up (%s): the rule cannot match by that name until "
                                "the next reload",
                                noun, entry->name, strerror(-entry->result));
        d->lexer->problem = kept;
        warn_at(d->parser, &warning);
}

static bool is_account_name(const char *text)
{
        size_t n = strlen(text);

        return n < 256 && text[0] != '-' && strspn(text, ALNUM "_.@\\$-") == n;
}

static int resolve_item(Draft *d, NameKind kind, const LexerItem *item, RuleIds *ids)
{
        NameEntry *entry;
        uint64_t number;
        int r;

        if (strspn(item->text, "0123456789") == strlen(item->text)) {
                /* (uid_t) -1 means "nobody" to the kernel's own calls and is never a caller. */
                if (parse_number(item->text, strlen(item->text), UINT32_MAX - 1, &number))
                        return fail_item(d, item, "%s is no number of a user or group (0 to 4294967294)");
                ids->ids[ids->n++] = (uint32_t)number;
                return 0;
        }
        if (!is_account_name(item->text))
                return fail_item(d, item, "\"%s\" cannot be the name of a user or group");
        r = look_up(d, kind, item->text, &entry);
        if (r)
                return r;
        if (entry->result == 0 || (entry->result == HF_E_POLICY_DENIED && d->rule->deny))
                ids->ids[ids->n++] = entry->id;
        if (entry->result == 0)
                return 0;
        if (!ids->unresolved)
                ids->unresolved = entry->name;
        warn_unresolved(d, item, entry);
        return 0;
}

static int compare_ids(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

static int resolve_items(Draft *d, NameKind kind, RuleIds *ids)
{
        const Lexer *lexer = d->lexer;

        ids->ids = arena_alloc(d->parser->arena, lexer->n_items * sizeof(*ids->ids));
        if (!ids->ids)
                return -ENOMEM;
        for (size_t i = 0; i < lexer->n_items; i++) {
                int r;

                if (kind == NAME_USER && strcmp(lexer->items[i].text, "*") == 0) {
                        ids->any = true;
                        continue;
                }
                r = resolve_item(d, kind, &lexer->items[i], ids);
                if (r)
                        return r;
        }
        qsort(ids->ids, ids->n, sizeof(*ids->ids), compare_ids);
        return 0;
}

static int parse_user(Draft *d)
{
        return resolve_items(d, NAME_USER, &d->rule->users);
}

static int parse_group(Draft *d)
{
        return resolve_items(d, NAME_GROUP, &d->rule->groups);
}

static int parse_unit(Draft *d)
{
        static const char suffix[] = ".service";

        for (size_t i = 0; i < d->lexer->n_items; i++) {
                const LexerItem *item = &d->lexer->items[i];
                size_t n = strlen(item->text);

                if (n > UNIT_MAX || strspn(item->text, ALNUM ":_.\\@*?-") != n)
                        return fail_item(d, item, "\"%s\" cannot be the name of a systemd unit");
                if (n < sizeof(suffix) || strcmp(item->text + n - (sizeof(suffix) - 1), suffix) != 0)
                        return fail_item(d, item, "unit \"%s\" does not end in .service");
        }
        return copy_items(d, &d->rule->units);
}

static int parse_label(Draft *d)
{
        for (size_t i = 0; i < d->lexer->n_items; i++)
                if (strlen(d->lexer->items[i].text) > LABEL_MAX)
                        return fail_item(d, &d->lexer->items[i], "\"%s\" is too long for a label");
        return copy_items(d, &d->rule->labels);
}

static int parse_key(Draft *d)
{
        PolicyRule *rule = d->rule;
        size_t n = d->lexer->n_items;

        rule->keys = arena_alloc(d->parser->arena, n * sizeof(*rule->keys));
        if (!rule->keys)
                return -ENOMEM;
        for (; rule->n_keys < n; rule->n_keys++) {
                const LexerItem *item = &d->lexer->items[rule->n_keys];
                RuleKey *key = &rule->keys[rule->n_keys];
                int r;

                if (!name_pattern_is_valid(item->text))
                        return fail_item(d, item,
                                        "\"%s\" is no key name, pattern or UUID: 1 to 64 characters out of "
                                        "a-z A-Z 0-9 . _ - * ?, beginning with a letter, digit, * or ?");
                key->is_uuid = uuid_parse(item->text, &key->uuid);
                r = copy_item(d, item->text, &key->pattern);
                if (r)
                        return r;
                if (strcmp(item->text, "*") == 0)
                        rule->any_key = true;
        }
        return 0;
}

static int parse_op(Draft *d)
{
        for (size_t i = 0; i < d->lexer->n_items; i++) {
                uint64_t mask = policy_operation_mask(d->lexer->items[i].text);

                if (!mask)
                        return fail_item(d, &d->lexer->items[i],
                                        "unknown operation \"%s\" (holdfast-policy(5) lists them)");
                d->rule->ops |= mask;
        }
        return 0;
}

static int parse_known(Draft *d, bool (*known)(void *userdata, const char *name), const char *sentence,
                RuleStrings *ret)
{
        for (size_t i = 0; i < d->lexer->n_items; i++) {
                const LexerItem *item = &d->lexer->items[i];

                if (strspn(item->text, ALNUM "-") != strlen(item->text) ||
                                (known && !known(d->parser->params->names.userdata, item->text)))
                        return lexer_fail(d->lexer, item->line, item->column, "unknown %s \"%s\"", sentence,
                                        log_escape(item->text, (char[NAME_QUOTE_SIZE]){}, NAME_QUOTE_SIZE));
        }
        return copy_items(d, ret);
}

static int parse_algorithm(Draft *d)
{
        return parse_known(d, d->parser->params->names.algorithm, "algorithm", &d->rule->algorithms);
}

static int parse_scheme(Draft *d)
{
        return parse_known(d, d->parser->params->names.scheme, "scheme", &d->rule->schemes);
}

static int parse_profile(Draft *d)
{
        return parse_known(d, NULL, "profile", &d->rule->profiles);
}

static int parse_socket(Draft *d)
{
        const LexerItem *item = d->lexer->items;

        if (strcmp(item->text, "system-bus") != 0 &&
                        (item->text[0] != '/' || strlen(item->text) > SOCKET_MAX))
                return fail_item(d, item, "\"%s\" is neither the path of a socket nor system-bus");
        return copy_item(d, item->text, &d->rule->socket);
}

static int parse_rate(Draft *d)
{
        static const struct {
                const char *text;
                uint64_t nanoseconds;
        } periods[] = {{"/s", 1000000000ULL}, {"/min", 60000000000ULL}, {"/h", 3600000000000ULL}};
        const LexerItem *item = d->lexer->items;
        size_t digits = strspn(item->text, "0123456789");
        uint64_t n;

        for (size_t i = 0; i < ELEMENTSOF(periods); i++)
                if (strcmp(item->text + digits, periods[i].text) == 0 &&
                                parse_number(item->text, digits, RATE_MAX, &n) == 0 && n > 0) {
                        d->rule->rate.interval = periods[i].nanoseconds / n;
                        if (!(d->rule->words & WORD_BIT(WORD_BURST)))
                                d->rule->rate.burst = (uint32_t)n;
                        return 0;
                }
        return fail_item(d, item, "\"%s\" is no rate: write 5/s, 30/min or 100/h (at most 1000000)");
}

static int parse_burst(Draft *d)
{
        const LexerItem *item = d->lexer->items;
        uint64_t n;

        if (parse_number(item->text, strlen(item->text), RATE_MAX, &n) || n == 0)
                return fail_item(d, item, "\"%s\" is no burst: a number from 1 to 1000000");
        d->rule->rate.burst = (uint32_t)n;
        return 0;
}

static int parse_between(Draft *d)
{
        const LexerItem *item = d->lexer->items;

        if (policy_window_parse_between(item->text, &d->rule->window))
                return fail_item(d, item, "\"%s\" is no time of day: write 08:00-18:30, in UTC");
        return 0;
}

static int parse_days(Draft *d)
{
        for (size_t i = 0; i < d->lexer->n_items; i++)
                if (policy_window_parse_days(d->lexer->items[i].text, &d->rule->window))
                        return fail_item(d, &d->lexer->items[i], "\"%s\" is no day: write mon, or mon-fri");
        return 0;
}

static int parse_uses(Draft *d)
{
        const LexerItem *item = d->lexer->items;

        if (parse_number(item->text, strlen(item->text), USES_MAX, &d->rule->uses) || d->rule->uses == 0)
                return fail_item(d, item, "\"%s\" is no count of uses: a number from 1 to 1000000000000");
        return 0;
}

static int parse_name(Draft *d)
{
        const LexerItem *item = d->lexer->items;
        NameEntry *entry;
        bool is_new;
        int r;

        if (!name_is_valid(item->text))
                return fail_item(d, item,
                                "\"%s\" is no name: 1 to 64 characters out of a-z A-Z 0-9 . _ -, beginning "
                                "with a letter or digit");
        r = copy_item(d, item->text, &d->rule->name);
        if (!r)
                r = name_table_get(d->parser->names, NAME_RULE, d->rule->name, &entry, &is_new);
        if (r)
                return r;
        if (!is_new)
                return lexer_fail(d->lexer, item->line, item->column, "the name %s is already used in %s:%u",
                                d->rule->name, entry->rule->path, entry->rule->line);
        entry->rule = d->rule;
        return 0;
}

static const struct {
        const char *name;
        int (*parse)(Draft *d);
        bool list;       /* takes several values */
        bool allow_only; /* means nothing in a deny rule */
} words[_WORD_MAX] = {
                [WORD_USER] = {"user", parse_user, .list = true},
                [WORD_GROUP] = {"group", parse_group, .list = true},
                [WORD_UNIT] = {"unit", parse_unit, .list = true},
                [WORD_LABEL] = {"label", parse_label, .list = true},
                [WORD_KEY] = {"key", parse_key, .list = true},
                [WORD_OP] = {"op", parse_op, .list = true},
                [WORD_ALGORITHM] = {"algorithm", parse_algorithm, .list = true},
                [WORD_SCHEME] = {"scheme", parse_scheme, .list = true},
                [WORD_PROFILE] = {"profile", parse_profile, .list = true},
                [WORD_SOCKET] = {"socket", parse_socket},
                [WORD_RATE] = {"rate", parse_rate, .allow_only = true},
                [WORD_BURST] = {"burst", parse_burst, .allow_only = true},
                [WORD_BETWEEN] = {"between", parse_between},
                [WORD_DAYS] = {"days", parse_days, .list = true},
                [WORD_USES] = {"uses", parse_uses, .allow_only = true},
                [WORD_NAME] = {"name", parse_name},
};

static int parse_word(Draft *d)
{
        const Lexer *lexer = d->lexer;
        size_t i = 0;

        while (i < _WORD_MAX && strcmp(words[i].name, lexer->name) != 0)
                i++;
        if (i == _WORD_MAX)
                return fail_word(d, "unknown word \"%s\"");
        if (!lexer->has_value)
                return fail_word(d, "%s wants a value: write it with = behind");
        if (d->rule->words & WORD_BIT(i))
                return fail_word(d,
                                "%s= stands twice in this rule; put several values behind one, with commas");
        if (d->rule->deny && words[i].allow_only)
                return fail_word(d, "%s= is for allow rules: a deny rule has no limits");
        if (lexer->n_items > 1 && !words[i].list)
                return fail_word(d, "%s= takes one value");
        d->rule->words |= WORD_BIT(i);
        return words[i].parse(d);
}

static int begin_rule(Draft *d)
{
        Lexer *lexer = d->lexer;
        bool deny = strcmp(lexer->name, "deny") == 0;

        if (lexer->has_value || (!deny && strcmp(lexer->name, "allow") != 0))
                return fail_word(d, "a rule begins with allow or deny, not with %s");
        if (d->parser->rules->n >= POLICY_RULES_MAX)
                return lexer_fail(lexer, lexer->word_line, lexer->word_column,
                                "too large: more than %u rules in all files", POLICY_RULES_MAX);
        d->rule = arena_alloc(d->parser->arena, sizeof(PolicyRule));
        if (!d->rule)
                return -ENOMEM;
        *d->rule = (PolicyRule){.deny = deny, .path = lexer->path, .line = lexer->word_line};
        d->text_start = lexer->word_start;
        d->column = lexer->word_column;
        return 0;
}

/* What is wrong with the rule as a whole, or NULL. */
static const char *complaint(const PolicyRule *rule)
{
        if (!(rule->words & SUBJECTS))
                return "the rule names nobody: add user=, group=, unit= or label= (user=* is everybody)";
        if (!rule->deny && !(rule->words & WORD_BIT(WORD_OP)))
                return "an allow rule says what it allows: add op= (op=use for all uses of a key, op=all for "
                       "all)";
        if (rule->uses && !rule->name)
                return "a rule with uses= needs a name= by which its uses are counted";
        if ((rule->words & WORD_BIT(WORD_BURST)) && !(rule->words & WORD_BIT(WORD_RATE)))
                return "burst= belongs to a rate=, which this rule does not have";
        return NULL;
}

/* Who may use a key may see it. Its bits of `use` other than seeing itself say whether this rule grants a
 * use. */
static void add_implied(PolicyRule *rule)
{
        const uint64_t seen = POLICY_OP_BIT(POLICY_OP_DESCRIBE) | POLICY_OP_BIT(POLICY_OP_PUBLIC);

        rule->implies = !rule->deny && (rule->ops & policy_operation_mask("use") & ~seen);
        rule->reach = rule->ops | (rule->implies ? seen : 0);
}

static uint64_t hash_text(Bytes text)
{
        uint64_t h = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < text.len; i++)
                h = (h ^ text.data[i]) * 0x100000001b3ULL;
        return h;
}

static int end_rule(Draft *d)
{
        PolicyRule *rule = TAKE_PTR(d->rule);
        const char *wrong = complaint(rule);

        if (wrong)
                return lexer_fail(d->lexer, rule->line, d->column, "%s", wrong);
        if (!(rule->words & WORD_BIT(WORD_OP)))
                rule->ops = policy_operation_mask("all");
        add_implied(rule);
        rule->text = BYTES(d->text_start, (size_t)(d->lexer->word_end - d->text_start));
        rule->hash = hash_text(rule->text);
        return rule_list_add(d->parser->rules, rule);
}

int parser_run(Parser *parser, const char *path, Bytes text)
{
        _cleanup_free_ Lexer *lexer = malloc(sizeof(*lexer));
        Draft d = {.parser = parser, .lexer = lexer};
        LexerKind kind = LEXER_RULE_END;
        int r = lexer ? 0 : -ENOMEM;

        if (r)
                return r;
        lexer_init(lexer, path, text, parser->problem);
        do {
                r = lexer_next(lexer, &kind);
                if (!r && kind == LEXER_WORD)
                        r = d.rule ? parse_word(&d) : begin_rule(&d);
                else if (!r && d.rule)
                        r = end_rule(&d);
        } while (!r && kind != LEXER_FILE_END);
        return r;
}
