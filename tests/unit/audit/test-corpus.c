/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Two verifiers, one page
 *
 * Makes good and mutilated logs from a seed and asks both verifiers, ours and the Python one that was written
 * from docs/formats/audit.md alone. They must agree on the kind and on the record. Also holds the page's
 * table of events against the code's.
 */
#include "support.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/event.h"
#include "audit/record.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "crypto/digest.h"

#define CORPUS_SIZE 3000
#define LINES_MAX 128

/* A log taken into lines, so that it can be shuffled. Spans are into `text` or into memory that is kept to
 * the end. */
typedef struct Lines {
        Bytes line[LINES_MAX];
        size_t n;
} Lines;

typedef struct Base {
        Sandbox sandbox;
        Buffer text;
        Lines lines;
} Base;

enum { PLAIN, FOREIGN, HIDDEN, HIDDEN_LATER, REKEYED, PRUNED, N_BASES };

typedef struct Corpus {
        Base bases[N_BASES];
        Sandbox out;
        char *kept[CORPUS_SIZE * 64];
        size_t n_kept;
        uint64_t random;
        unsigned kinds[_AUDIT_VERDICT_MAX];
} Corpus;

static unsigned pick(Corpus *c, unsigned below)
{
        c->random = c->random * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)(c->random >> 33) % below;
}

static void split(const Buffer *text, Lines *ret)
{
        const uint8_t *p = text->data, *end = text->data + text->len;

        ret->n = 0;
        while (p < end) {
                const uint8_t *newline = memchr(p, '\n', end - p);

                assert_non_null(newline);
                assert_true(ret->n < LINES_MAX);
                ret->line[ret->n++] = BYTES(p, newline - p);
                p = newline + 1;
        }
}

static Bytes keep(Corpus *c, const void *data, size_t len)
{
        char *copy = malloc(len + 1);

        assert_true(c->n_kept < ELEMENTSOF(c->kept));
        memcpy(copy, data, len);
        c->kept[c->n_kept++] = copy;
        return BYTES(copy, len);
}

static void uses(AuditLog *log, unsigned n)
{
        while (n-- > 0)
                append_use(log, n);
}

/* With `late` lines between the note and its record. */
static void checkpoint(AuditLog *log, NoteParams params, unsigned late)
{
        char note[AUDIT_NOTE_MAX + 1];
        AuditPosition position;

        assert_int_equal(audit_log_sync(log), 0);
        audit_log_position(log, &position);
        params.counter = -1;
        params.size = position.size;
        memcpy(params.head, position.head, 32);
        make_note(&params, note);
        uses(log, late);
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), 0);
}

/* Denials with text of strangers, changes that are done and one that is not: more than uses. */
static void others(AuditLog *log)
{
        AuditLine line;
        uint64_t seq;

        audit_line_init(&line, "denied");
        audit_line_str(&line, "wanted", "key.sign");
        audit_line_str(&line, "name", "\xf0\x9f\x94\x91 \"quoted\\\" \x01\xff");
        audit_line_str(&line, "reason", "no rule");
        audit_line_u64(&line, "uid", UINT64_MAX);
        assert_int_equal(audit_log_append(log, &line, NULL), 0);
        change_line(&line, 1);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        assert_int_equal(audit_log_append_done(log, seq, NULL), 0);
        change_line(&line, 2);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        assert_int_equal(audit_log_append_undone(log, seq, "full", NULL), 0);
}

static void fill_plain(AuditLog *log, unsigned hidden)
{
        uses(log, 6);
        checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 4}, 2);
        others(log);
        uses(log, 3);
        checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 11}, 0);
        checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 11 + (hidden == HIDDEN)}, 3);
        uses(log, 4);
        checkpoint(log, (NoteParams){.key = 1, .life = 2, .ops = 7 + (hidden == HIDDEN_LATER), .epoch = 1},
                        0);
        uses(log, 2);
}

static void make_base(Corpus *c, unsigned kind)
{
        Base *b = &c->bases[kind];
        AuditLogParams params;
        AuditPrune prune = {.before = UINT64_MAX};
        AuditLog *log = NULL;
        uint64_t first;

        sandbox_init(&b->sandbox);
        b->text = BUFFER_INIT(1 << 20);
        params = log_params(&b->sandbox, AUDIT_SEGMENT_SIZE_MIN);
        if (kind == FOREIGN)
                params.log_id = OTHER_LOG_ID;
        assert_int_equal(audit_log_create(&params, NULL, &log), 0);
        if (kind == PLAIN || kind == HIDDEN || kind == HIDDEN_LATER)
                fill_plain(log, kind);
        if (kind == FOREIGN)
                uses(log, 30);
        if (kind == REKEYED) {
                uses(log, 3);
                checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 3, .next = 2}, 0);
                uses(log, 3);
                checkpoint(log, (NoteParams){.key = 2, .life = 2, .ops = 3, .epoch = 1}, 0);
                uses(log, 1);
        }
        if (kind == PRUNED) {
                uses(log, 50);
                checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 50}, 0);
                assert_int_equal(audit_log_prune(log, &prune, &first), 0);
                uses(log, 20);
                checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 70}, 0);
                uses(log, 3);
                checkpoint(log, (NoteParams){.key = 1, .life = 1, .ops = 73}, 0);
        }
        audit_log_free(log);
        export_log(&b->sandbox, &b->text);
        split(&b->text, &b->lines);
}

/* Links everything anew from line `from` on, as someone would who has no key: numbers stay. */
static void relink(Corpus *c, Lines *l, size_t from)
{
        for (size_t i = from; i < l->n; i++) {
                char copy[AUDIT_LINE_MAX], hex[65];
                uint8_t hash[32];
                AuditRecord record;

                if (i == 0 || audit_record_parse(l->line[i], &record))
                        continue;
                digest_sha256(l->line[i - 1], hash);
                hex_encode(hash, 32, hex);
                memcpy(copy, l->line[i].data, l->line[i].len);
                memcpy(copy + (record.prev.data - l->line[i].data), hex, 64);
                l->line[i] = keep(c, copy, l->line[i].len);
        }
}

static void change_byte(Corpus *c, Lines *l, size_t i, size_t at, uint8_t byte)
{
        Bytes copy = keep(c, l->line[i].data, l->line[i].len);

        ((uint8_t *)copy.data)[at] = byte;
        l->line[i] = copy;
}

static void flip(Corpus *c, Lines *l, size_t i)
{
        size_t at = pick(c, (unsigned)l->line[i].len);

        change_byte(c, l, i, at, l->line[i].data[at] ^ (uint8_t)(1u << pick(c, 8)));
}

static void delete_lines(Lines *l, size_t at, size_t n)
{
        memmove(&l->line[at], &l->line[at + n], (l->n - at - n) * sizeof(Bytes));
        l->n -= n;
}

static void insert_line(Lines *l, size_t at, Bytes line)
{
        if (l->n == LINES_MAX)
                return;
        memmove(&l->line[at + 1], &l->line[at], (l->n - at) * sizeof(Bytes));
        l->line[at] = line;
        l->n++;
}

static void swap_lines(Lines *l, size_t a, size_t b)
{
        Bytes t = l->line[a];

        l->line[a] = l->line[b];
        l->line[b] = t;
}

/* Changes one digit in a field of the line, so that the form stays. */
static void change_digit(Corpus *c, Lines *l, size_t i)
{
        for (unsigned tries = 0; tries < 200; tries++) {
                size_t at = pick(c, (unsigned)l->line[i].len);

                if (l->line[i].data[at] >= '1' && l->line[i].data[at] < '9') {
                        change_byte(c, l, i, at, l->line[i].data[at] + 1);
                        return;
                }
        }
}

static size_t some_checkpoint(Corpus *c, const Lines *l)
{
        for (unsigned tries = 0; tries < 1000; tries++) {
                size_t i = pick(c, (unsigned)l->n);
                AuditRecord record;

                if (audit_record_parse(l->line[i], &record) == 0 && audit_record_is(&record, "checkpoint"))
                        return i;
        }
        return 0;
}

/* Puts the note of one checkpoint line into another, each with its own number and link. */
static void swap_notes(Corpus *c, Lines *l, size_t a, size_t b)
{
        char copy[2][AUDIT_LINE_MAX];
        AuditRecord record[2];
        Bytes note[2];
        size_t at[2] = {a, b};

        for (int i = 0; i < 2; i++)
                if (audit_record_parse(l->line[at[i]], &record[i]) ||
                                !audit_record_field(&record[i], "note", &note[i]))
                        return;
        for (int i = 0; i < 2; i++) {
                size_t before = (size_t)(note[i].data - l->line[at[i]].data), other = note[!i].len;
                size_t behind = l->line[at[i]].len - before - note[i].len;

                memcpy(copy[i], l->line[at[i]].data, before);
                memcpy(copy[i] + before, note[!i].data, other);
                memcpy(copy[i] + before + other, note[i].data + note[i].len, behind);
        }
        for (int i = 0; i < 2; i++)
                l->line[at[i]] = keep(c, copy[i], l->line[at[i]].len - note[i].len + note[!i].len);
}

enum {
        KEEP,
        FLIP,
        FLIP_RELINK,
        DIGIT_RELINK,
        DELETE,
        DELETE_RELINK,
        INSERT,
        DUPLICATE,
        SWAP,
        SWAP_RELINK,
        SPLICE,
        NOTES,
        NOTES_RELINK,
        BLOCK,
        HEADLESS,
        TWO_FLIPS,
        NUL,
        FIRST,
        N_MUTATIONS
};

static void mutate(Corpus *c, Lines *l)
{
        size_t i = pick(c, (unsigned)l->n), k = pick(c, (unsigned)l->n), n;
        const Lines *foreign = &c->bases[FOREIGN].lines;

        switch (pick(c, N_MUTATIONS)) {
        case KEEP:
                break;
        case TWO_FLIPS:
                flip(c, l, k);
                flip(c, l, i);
                break;
        case FLIP:
                flip(c, l, i);
                break;
        case FLIP_RELINK:
                flip(c, l, i);
                relink(c, l, i + 1);
                break;
        case DIGIT_RELINK:
                change_digit(c, l, pick(c, 2) ? i : some_checkpoint(c, l));
                relink(c, l, 1);
                break;
        case DELETE:
        case DELETE_RELINK:
                n = 1 + pick(c, 5);
                delete_lines(l, i, n < l->n - i ? n : l->n - i);
                if (l->n > 0 && pick(c, 2))
                        relink(c, l, i);
                break;
        case INSERT:
                insert_line(l, i, l->line[k]);
                flip(c, l, i);
                break;
        case DUPLICATE:
                insert_line(l, i, l->line[k]);
                break;
        case SWAP:
                swap_lines(l, i, k);
                break;
        case SWAP_RELINK:
                swap_lines(l, i, k);
                relink(c, l, 1);
                break;
        case SPLICE:
                for (n = i; n < foreign->n && n < l->n; n++)
                        l->line[n] = foreign->line[n];
                if (pick(c, 2))
                        l->n = n;
                break;
        case NOTES:
                swap_notes(c, l, some_checkpoint(c, l), some_checkpoint(c, l));
                break;
        case NOTES_RELINK:
                swap_notes(c, l, some_checkpoint(c, l), some_checkpoint(c, l));
                relink(c, l, 1);
                break;
        case BLOCK:
                for (n = 1 + pick(c, 4); n > 0; n--) {
                        Bytes line = l->line[i];

                        delete_lines(l, i, 1);
                        insert_line(l, k < l->n ? k : l->n, line);
                }
                break;
        case HEADLESS:
                delete_lines(l, 0, i);
                break;
        case FIRST:
                change_digit(c, l, 0);
                break;
        case NUL:
                change_byte(c, l, i, pick(c, 4) ? 0 : pick(c, (unsigned)l->line[i].len), '\0');
                break;
        }
}

static void write_case(const Corpus *c, const char *name, const Lines *l, size_t cut)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
        _cleanup_close_ int fd = -EBADF;

        for (size_t i = 0; i < l->n; i++) {
                assert_int_equal(buffer_append(&text, l->line[i].data, l->line[i].len), 0);
                assert_int_equal(buffer_append(&text, "\n", 1), 0);
        }
        fd = openat(c->out.dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(io_write_full(fd, text.data, cut && cut < text.len ? text.len - cut : text.len), 0);
}

/* Keys and notes to verify with: usually the right ones. */
static const char *some_key(Corpus *c, char text[static AUDIT_VKEY_MAX])
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN);

        switch (pick(c, 10)) {
        case 0:
                return NULL;
        case 1:
                key = checkpoint_vkey(2, ORIGIN);
                break;
        case 2:
                key = checkpoint_vkey(1, AUDIT_ORIGIN_PREFIX OTHER_LOG_ID);
                break;
        case 3:
                hex_encode(key.key, 32, text);
                return text;
        }
        audit_vkey_format(&key, text);
        return text;
}

static bool some_expected(Corpus *c, const Lines *l, char note[static AUDIT_NOTE_MAX + 1])
{
        NoteParams params = {.key = 1, .counter = -1, .size = 1 + pick(c, 40)};
        AuditRecord record;

        switch (pick(c, 8)) {
        case 0:
                make_note(&params, note);
                return true;
        case 1:
        case 2:
                return audit_record_parse(l->line[some_checkpoint(c, l)], &record) == 0 &&
                       audit_record_string(&record, "note", note, AUDIT_NOTE_MAX + 1) == 0;
        default:
                return false;
        }
}

static void verify_case(
                Corpus *c, const char *name, const char *key_text, const char *expect, char *ret, size_t size)
{
        AuditVerifyOptions options = {.expect = expect};
        AuditReport r;
        AuditVkey key = {};
        int fd = openat(c->out.dir_fd, name, O_RDONLY | O_CLOEXEC);

        if (key_text) {
                if (audit_vkey_parse(key_text, strlen(key_text), &key))
                        assert_int_equal(hex_decode(key_text, strlen(key_text), key.key, 32), 0);
                options.key = &key;
        }
        assert_true(fd >= 0);
        assert_int_equal(audit_verify_fd(fd, &options, &r), 0);
        close(fd);
        c->kinds[r.verdict]++;
        if (r.verdict == AUDIT_GOOD)
                snprintf(ret, size, "good %llu %llu %llu", (unsigned long long)r.sealed,
                                (unsigned long long)r.unsealed, (unsigned long long)r.uses);
        else
                snprintf(ret, size, "%s %llu %llu", audit_verdict_to_string(r.verdict),
                                (unsigned long long)r.bad_seq, (unsigned long long)r.bad_last);
}

static void test_both_verifiers_agree_on_every_log(void **state)
{
        Corpus *c = *state;
        static char ours[CORPUS_SIZE][80];
        char command[256], line[128], name[24];
        unsigned disagree = 0;
        FILE *manifest, *answers;

        snprintf(command, sizeof(command), "%s/manifest", c->out.path);
        manifest = fopen(command, "w");
        assert_non_null(manifest);
        for (unsigned n = 0; n < CORPUS_SIZE; n++) {
                static const unsigned bases[] = {
                                PLAIN, PLAIN, HIDDEN_LATER, HIDDEN, REKEYED, PRUNED, FOREIGN};
                Lines l = c->bases[n < 7 ? bases[n] : bases[pick(c, 7)]].lines;
                char key[AUDIT_VKEY_MAX], note[AUDIT_NOTE_MAX + 1], note_name[24];
                const char *key_text = some_key(c, key);
                bool expected = some_expected(c, &l, note);

                if (n >= 7)
                        mutate(c, &l);
                snprintf(name, sizeof(name), "log-%u", n);
                snprintf(note_name, sizeof(note_name), "note-%u", n);
                write_case(c, name, &l, n > 7 && pick(c, 12) == 0 ? pick(c, 9000) : 0);
                if (expected)
                        assert_int_equal(io_write_file(c->out.dir_fd, note_name, bytes_str(note), 0600), 0);
                fprintf(manifest, "%s/%s\t%s\t%s%s%s\n", c->out.path, name, key_text ? key_text : "-",
                                expected ? c->out.path : "-", expected ? "/" : "", expected ? note_name : "");
                verify_case(c, name, key_text, expected ? note : NULL, ours[n], sizeof(ours[n]));
        }
        fclose(manifest);
        snprintf(command, sizeof(command), "/usr/bin/python3 %s --batch %s/manifest", PEER, c->out.path);
        answers = popen(command, "r");
        assert_non_null(answers);
        for (unsigned n = 0; n < CORPUS_SIZE; n++) {
                assert_non_null(fgets(line, sizeof(line), answers));
                line[strcspn(line, "\n")] = '\0';
                if (strcmp(line, ours[n]) != 0 && disagree++ < 10)
                        print_error("log-%u: ours \"%s\", theirs \"%s\"\n", n, ours[n], line);
        }
        assert_int_equal(pclose(answers), 0);
        assert_int_equal(disagree, 0);
        for (unsigned v = AUDIT_GOOD; v < _AUDIT_VERDICT_MAX; v++) {
                print_message("%6u %s\n", c->kinds[v], audit_verdict_to_string((AuditVerdict)v));
                assert_true(c->kinds[v] > 0); /* a corpus that never shows a kind proves nothing about it */
        }
}

/* `name` | marks | fields | as in the page. */
static void table_row(const AuditEvent *e, char *ret, size_t size)
{
        const char *kind = e->flags & AUDIT_EVENT_CHANGE ? "change" : e->flags & AUDIT_EVENT_USE ? "use" : "";
        const char *reserve = e->flags & AUDIT_EVENT_RESERVE ? "reserve" : "";
        int len;

        len = snprintf(ret, size, "| `%s` | %s%s%s |", e->name, kind, *kind && *reserve ? ", " : "", reserve);
        for (unsigned i = 0; i < AUDIT_FIELDS_MAX && e->fields[i].name; i++)
                len += snprintf(ret + len, size - len, "%s %s %s%s", i ? "," : "", e->fields[i].name,
                                audit_field_type_to_string(e->fields[i].type),
                                e->fields[i].required ? "!" : "");
        snprintf(ret + len, size - len, " |\n");
}

static void test_page_has_the_table_of_the_code(void **state)
{
        char row[1024], line[1024];
        size_t n, at = 0;
        const AuditEvent *events = audit_events(&n);
        FILE *page = fopen(PAGE, "r");

        (void)state;
        assert_non_null(page);
        while (fgets(line, sizeof(line), page))
                if (strcmp(line, "| event | marks | fields |\n") == 0)
                        break;
        assert_non_null(fgets(line, sizeof(line), page));
        while (fgets(line, sizeof(line), page) && line[0] == '|') {
                assert_true(at < n);
                table_row(&events[at++], row, sizeof(row));
                assert_string_equal(line, row);
        }
        assert_int_equal(at, n);
        fclose(page);
}

static int setup(void **state)
{
        Corpus *c = calloc(1, sizeof(*c));

        c->random = 20261121;
        clock_set_wall(1795233600000000); /* the same logs on every run */
        sandbox_init(&c->out);
        for (unsigned i = 0; i < N_BASES; i++)
                make_base(c, i);
        *state = c;
        return 0;
}

static int teardown(void **state)
{
        Corpus *c = *state;

        for (unsigned i = 0; i < N_BASES; i++) {
                sandbox_deinit(&c->bases[i].sandbox);
                buffer_deinit(&c->bases[i].text);
        }
        while (c->n_kept > 0)
                free(c->kept[--c->n_kept]);
        if (!getenv("HF_KEEP"))
                sandbox_deinit(&c->out);
        free(c);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_page_has_the_table_of_the_code),
                        cmocka_unit_test(test_both_verifiers_agree_on_every_log),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
