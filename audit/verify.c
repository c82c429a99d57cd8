/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/log.h"
#include "audit/record.h"
#include "base/error.h"
#include "crypto/digest.h"

#define READ_SIZE (32u << 10)

/* Some faults can only be named when more of the log has been seen. */
typedef enum Suspicion {
        SUSPICION_NONE,
        SUSPICION_LINK, /* right number, wrong link: this record or the one before? The next one tells. */
        SUSPICION_ID,   /* well linked, but of another log: really, or a changed byte? The next one tells. */
        SUSPICION_NOTE, /* an unchecked note that does not fit: is it the note that was changed? The next one
                           tells. */
        SUSPICION_GAP,  /* a higher number: is the expected one further down, or gone? */
        SUSPICION_BACK, /* a number that was there already */
} Suspicion;

typedef struct Life {
        bool known;
        uint8_t id[16];
        uint64_t ops;       /* of its last note */
        uint64_t base_ops;  /* operations that need no line in this file, */
        uint64_t base_uses; /* and use lines that belong to lives before */
} Life;

struct AuditVerifier {
        AuditReport report;
        char line[AUDIT_LINE_MAX + 1];
        size_t line_len;
        bool ended; /* NULs have begun */
        uint64_t n_lines;
        bool decided; /* the verdict stands; the rest is not looked at */

        bool have_key, name_known;
        bool have_log_key;
        uint8_t log_key[32];
        char origin[AUDIT_NAME_MAX + 1];
        bool have_expect, expect_signed, expect_met;
        AuditNote expect;
        char expect_text[AUDIT_NOTE_MAX];
        size_t expect_len;

        uint64_t expected; /* number of the next record */
        uint8_t first_prev[32];
        uint8_t head[32];
        uint64_t epoch;
        int64_t counter; /* of the last note of the epoch that says one; -1: none does */
        uint64_t sealed_uses; /* use lines below report.sealed */
        Life life;
        uint8_t heads[AUDIT_NOTE_WINDOW][32];
        uint8_t is_use[AUDIT_NOTE_WINDOW];

        Suspicion suspicion;
        uint64_t suspect_seq, suspect_line;
        AuditReport suspect_report; /* what SUSPICION_NOTE becomes otherwise */
        uint8_t suspect_hash[32];
        bool next_seen;    /* the line behind the suspect */
        bool next_follows; /* and its link is the suspect's hash */
        bool id_seen;      /* a record behind tells its log */
        bool id_foreign;
        bool found; /* the expected number came later */
};

const char *audit_verdict_to_string(AuditVerdict v)
{
        static const char *const names[_AUDIT_VERDICT_MAX] = {
                        [AUDIT_GOOD] = "good",
                        [AUDIT_CHANGED] = "changed",
                        [AUDIT_MISSING] = "missing",
                        [AUDIT_REORDERED] = "reordered",
                        [AUDIT_FOREIGN] = "foreign",
                        [AUDIT_USES_HIDDEN] = "uses-hidden",
                        [AUDIT_TRUNCATED] = "truncated",
                        [AUDIT_NOT_A_LOG] = "not-a-log",
        };

        return v > _AUDIT_VERDICT_INVALID && v < _AUDIT_VERDICT_MAX ? names[v] : "invalid";
}

static void decide_range(AuditVerifier *v, AuditVerdict verdict, uint64_t first, uint64_t last, uint64_t line)
{
        if (v->decided)
                return;
        v->decided = true;
        v->report.verdict = verdict;
        v->report.bad_seq = first;
        v->report.bad_last = last > first ? last : first;
        v->report.bad_line = line;
}

static void decide(AuditVerifier *v, AuditVerdict verdict, uint64_t seq, uint64_t line)
{
        decide_range(v, verdict, seq, seq, line);
}

/* Line number of a record that was read as good. */
static uint64_t line_of(const AuditVerifier *v, uint64_t seq)
{
        return seq < v->report.first_seq ? 1 : seq - v->report.first_seq + 1;
}

static void suspect(AuditVerifier *v, Suspicion kind, uint64_t seq, const AuditRecord *record)
{
        v->suspicion = kind;
        v->suspect_seq = seq;
        v->suspect_line = v->n_lines;
        digest_sha256(record->line, v->suspect_hash);
}

static void check_expect_signature(AuditVerifier *v)
{
        if (v->have_expect && !v->expect_signed && v->have_key)
                v->expect_signed = audit_note_verify(v->expect_text, v->expect_len, &v->expect,
                                                   &v->report.key) == 0;
}

/* An origin is the prefix and the log id. */
static bool origin_is(const AuditVerifier *v, const char *id)
{
        return strcmp(v->origin + sizeof(AUDIT_ORIGIN_PREFIX) - 1, id) == 0;
}

/* The log a record says it is of: first lines of segments and checkpoints do. False where it says nothing. */
static bool record_log_id(const AuditRecord *record, char ret[static AUDIT_NAME_MAX + 1])
{
        char note[AUDIT_NOTE_MAX + 1];
        AuditNote n;

        if (audit_record_is(record, "segment.start"))
                return audit_record_string(record, "log", ret, AUDIT_NAME_MAX + 1) == 0;
        if (!audit_record_is(record, "checkpoint") ||
                        audit_record_string(record, "note", note, sizeof(note)) ||
                        audit_note_parse(note, strlen(note), &n) ||
                        strncmp(n.origin, AUDIT_ORIGIN_PREFIX, sizeof(AUDIT_ORIGIN_PREFIX) - 1) != 0)
                return false;
        strcpy(ret, n.origin + sizeof(AUDIT_ORIGIN_PREFIX) - 1);
        return true;
}

static void look_for_id(AuditVerifier *v, const AuditRecord *record)
{
        char id[AUDIT_NAME_MAX + 1];

        if (v->id_seen || !record_log_id(record, id))
                return;
        v->id_seen = true;
        v->id_foreign = !origin_is(v, id);
}

/* A line behind the suspect. */
static void look_behind(AuditVerifier *v, Bytes line)
{
        uint8_t prev[32];
        AuditRecord record;
        bool whole = audit_record_parse(line, &record) == 0;

        if (!v->next_seen) {
                v->next_seen = true;
                v->next_follows = whole &&
                                  hex_decode((const char *)record.prev.data, record.prev.len, prev,
                                                  sizeof(prev)) == 0 &&
                                  memcmp(prev, v->suspect_hash, sizeof(prev)) == 0;
        }
        if (!whole)
                return;
        look_for_id(v, &record);
        if (record.seq == v->expected)
                v->found = true;
}

static void resolve(AuditVerifier *v)
{
        bool foreign = v->id_seen && v->id_foreign;
        uint64_t before = v->expected - 1;

        switch (v->suspicion) {
        case SUSPICION_NONE:
                return;
        case SUSPICION_ID:
                decide(v, v->next_seen && !v->next_follows ? AUDIT_CHANGED : AUDIT_FOREIGN, v->suspect_seq,
                                v->suspect_line);
                return;
        case SUSPICION_NOTE:
                if (v->next_seen && !v->next_follows)
                        decide(v, AUDIT_CHANGED, v->suspect_seq, v->suspect_line);
                else
                        decide_range(v, v->suspect_report.verdict, v->suspect_report.bad_seq,
                                        v->suspect_report.bad_last, v->suspect_report.bad_line);
                return;
        case SUSPICION_LINK:
                if (v->next_seen && !v->next_follows)
                        decide(v, foreign ? AUDIT_FOREIGN : AUDIT_CHANGED, v->expected, v->suspect_line);
                else if (foreign && before != v->report.first_seq)
                        decide(v, AUDIT_FOREIGN, v->expected, v->suspect_line);
                else
                        decide(v, AUDIT_CHANGED, before, v->suspect_line - 1);
                return;
        case SUSPICION_GAP:
                decide(v,
                                foreign    ? AUDIT_FOREIGN
                                : v->found ? AUDIT_REORDERED
                                           : AUDIT_MISSING,
                                v->expected, v->suspect_line);
                return;
        case SUSPICION_BACK:
                decide(v, foreign ? AUDIT_FOREIGN : AUDIT_REORDERED, foreign ? v->expected : v->suspect_seq,
                                v->suspect_line);
                return;
        }
}

/* Use lines among the records below `size`. */
static uint64_t uses_below(const AuditVerifier *v, uint64_t size)
{
        uint64_t uses = v->report.uses;

        for (uint64_t seq = size < v->report.first_seq ? v->report.first_seq : size; seq < v->expected; seq++)
                uses -= v->is_use[seq % AUDIT_NOTE_WINDOW];
        return uses;
}

/*
 * The signer counts its operations in one life and puts the count into each note. It signs only notes that
 * cover all it served, so in any life the lines below the note are at least as many as the operations.
 * Counted over the whole life and not from note to note, because a job may be begun before one note and
 * served after it.
 */
static bool check_uses(AuditVerifier *v, const AuditNote *note)
{
        uint64_t uses = uses_below(v, note->size);
        Life *life = &v->life;

        if (!life->known || memcmp(life->id, note->life, sizeof(life->id)) != 0) {
                bool inside = !life->known && v->report.first_seq > 0;

                *life = (Life){.known = true,
                                .base_ops = inside ? note->ops : 0,
                                .base_uses = life->known ? v->sealed_uses : 0};
                memcpy(life->id, note->life, sizeof(life->id));
        }
        life->ops = note->ops;
        return uses - life->base_uses >= note->ops - life->base_ops;
}

/* True if the note's head is that of its last record; also where that record lies before the file. */
static bool check_head(const AuditVerifier *v, const AuditNote *note)
{
        if (note->size > v->report.first_seq)
                return memcmp(v->heads[(note->size - 1) % AUDIT_NOTE_WINDOW], note->head, 32) == 0;
        return note->size < v->report.first_seq || memcmp(v->first_prev, note->head, 32) == 0;
}

static uint64_t first_unsealed(const AuditVerifier *v)
{
        return v->report.sealed > v->report.first_seq ? v->report.sealed : v->report.first_seq;
}

static bool falls_back(const AuditVerifier *v, const AuditNote *note)
{
        if (note->epoch < v->epoch || (note->epoch == v->epoch && note->counter >= 0 && note->counter < v->counter))
                return true;
        return v->life.known && memcmp(v->life.id, note->life, sizeof(note->life)) == 0 &&
               note->ops < v->life.ops;
}

static void seal(AuditVerifier *v, const AuditRecord *record, const AuditNote *note)
{
        if (note->epoch != v->epoch)
                v->counter = -1;
        if (note->counter > v->counter) {
                v->report.anchored = note->size;
                memcpy(v->report.anchored_time, record->time.data, record->time.len);
                v->counter = note->counter;
        }
        v->report.counter = note->counter;
        v->epoch = note->epoch;
        v->sealed_uses = uses_below(v, note->size);
        v->report.sealed = note->size;
        v->report.checkpoints++;
        memcpy(v->report.sealed_time, record->time.data, record->time.len);
        if (note->has_next) {
                v->report.key = note->next;
                check_expect_signature(v);
        }
}

/* A note does not fit the records. If its signature was checked, they are to blame. */
static void misfit(AuditVerifier *v, const AuditRecord *record, AuditVerdict verdict, uint64_t first,
                uint64_t last)
{
        if (v->have_key) {
                decide_range(v, verdict, first, last, line_of(v, first));
                return;
        }
        suspect(v, SUSPICION_NOTE, record->seq, record);
        v->suspect_report = (AuditReport){.verdict = verdict,
                        .bad_seq = first,
                        .bad_last = last,
                        .bad_line = line_of(v, first)};
}

static void take_note(AuditVerifier *v, const AuditRecord *record, const AuditNote *note)
{
        uint64_t seq = record->seq, from = first_unsealed(v);

        if (note->size < v->report.sealed)
                misfit(v, record, AUDIT_REORDERED, seq, seq);
        else if (!check_head(v, note))
                misfit(v, record, AUDIT_CHANGED, from, note->size - 1);
        else if (falls_back(v, note))
                misfit(v, record, AUDIT_CHANGED, seq, seq);
        else if (!check_uses(v, note))
                misfit(v, record, AUDIT_USES_HIDDEN, from, note->size - 1);
        else
                seal(v, record, note);
}

static void take_checkpoint(AuditVerifier *v, const AuditRecord *record)
{
        char text[AUDIT_NOTE_MAX + 1];
        uint64_t seq = record->seq;
        AuditNote note;

        if (audit_record_string(record, "note", text, sizeof(text)) ||
                        audit_note_parse(text, strlen(text), &note))
                decide(v, AUDIT_CHANGED, seq, v->n_lines);
        else if (strcmp(note.origin, v->origin) != 0 ||
                        (v->have_key && memcmp(note.key_id, v->report.key.id, sizeof(note.key_id)) != 0))
                suspect(v, SUSPICION_ID, seq, record);
        else if ((v->have_key && audit_note_verify(text, strlen(text), &note, &v->report.key)) ||
                        note.size > seq || seq - note.size >= AUDIT_NOTE_WINDOW ||
                        (note.has_next && strcmp(note.next.name, v->origin) != 0))
                decide(v, AUDIT_CHANGED, seq, v->n_lines);
        else
                take_note(v, record, &note);
}

static void check_expect(AuditVerifier *v, uint64_t seq)
{
        if (!v->have_expect || seq != v->expect.size - 1)
                return;
        if (memcmp(v->head, v->expect.head, sizeof(v->head)) == 0)
                v->expect_met = true;
        else
                decide_range(v, AUDIT_CHANGED, first_unsealed(v), seq, line_of(v, first_unsealed(v)));
}

/* The first line says which log this is and where the file begins in it. */
static void take_first(AuditVerifier *v, const AuditRecord *record)
{
        static const uint8_t zeros[32];
        char id[AUDIT_NAME_MAX + 1];

        v->report.first_seq = v->expected = record->seq;
        hex_decode((const char *)record->prev.data, record->prev.len, v->first_prev, sizeof(v->first_prev));
        memcpy(v->head, v->first_prev, sizeof(v->head));
        if ((record->seq == 0) != (memcmp(v->head, zeros, sizeof(zeros)) == 0))
                decide(v, AUDIT_CHANGED, 0, 1);
        else if (!audit_record_is(record, "segment.start"))
                decide(v, record->seq ? AUDIT_MISSING : AUDIT_CHANGED, record->seq ? record->seq - 1 : 0, 1);
        else if (audit_record_string(record, "log", id, sizeof(id)) ||
                        strlen(id) + sizeof(AUDIT_ORIGIN_PREFIX) > sizeof(v->origin))
                decide(v, AUDIT_CHANGED, record->seq, 1);
        else {
                strcpy(v->report.log_id, id);
                if (v->name_known && !origin_is(v, id)) {
                        suspect(v, SUSPICION_ID, record->seq, record);
                        return;
                }
                strcpy(v->origin, AUDIT_ORIGIN_PREFIX);
                strcat(v->origin, id);
                if (v->have_key && !v->name_known) {
                        AuditVkey bare = v->report.key;

                        audit_vkey_init(&v->report.key, v->origin, bare.key);
                }
                check_expect_signature(v);
        }
}

static void take_good(AuditVerifier *v, const AuditRecord *record)
{
        bool use = audit_record_flags(record) & AUDIT_EVENT_USE;
        unsigned slot = record->seq % AUDIT_NOTE_WINDOW;
        char id[AUDIT_NAME_MAX + 1];

        if (audit_record_is(record, "segment.start") &&
                        (audit_record_string(record, "log", id, sizeof(id)) || !origin_is(v, id))) {
                suspect(v, SUSPICION_ID, record->seq, record);
                return;
        }
        if (audit_record_is(record, "checkpoint")) {
                take_checkpoint(v, record);
                if (v->decided || v->suspicion)
                        return;
        }
        digest_sha256(record->line, v->head);
        memcpy(v->heads[slot], v->head, sizeof(v->head));
        v->is_use[slot] = use;
        v->report.uses += use;
        v->report.records++;
        v->expected = record->seq + 1;
        check_expect(v, record->seq);
}

static void take_line(AuditVerifier *v, Bytes line)
{
        bool first = v->n_lines++ == 0, linked;
        AuditRecord record;
        uint8_t prev[32];
        uint64_t seq;
        Bytes hex;

        if (v->decided)
                return;
        if (v->suspicion) {
                look_behind(v, line);
                return;
        }
        if (first && audit_record_prefix(line, &seq, &hex)) {
                decide(v, AUDIT_NOT_A_LOG, 0, 1);
                return;
        }
        if (audit_record_parse(line, &record)) {
                decide(v, AUDIT_CHANGED, first ? seq : v->expected, v->n_lines);
                return;
        }
        if (first)
                take_first(v, &record);
        if (v->decided || v->suspicion)
                return;
        hex_decode((const char *)record.prev.data, record.prev.len, prev, sizeof(prev));
        linked = memcmp(prev, v->head, sizeof(prev)) == 0;
        if ((v->have_log_key && !audit_record_authentic(&record, v->log_key)) ||
                        (linked && record.seq != v->expected) ||
                        (linked && record.seq > 0 && record.dur >= record.seq))
                decide(v, AUDIT_CHANGED, v->expected, v->n_lines);
        else if (linked)
                take_good(v, &record);
        else {
                suspect(v,
                                record.seq == v->expected  ? SUSPICION_LINK
                                : record.seq > v->expected ? SUSPICION_GAP
                                                           : SUSPICION_BACK,
                                record.seq, &record);
                look_for_id(v, &record);
        }
}

int audit_verifier_new(const AuditVerifyOptions *options, AuditVerifier **ret)
{
        _cleanup_(audit_verifier_freep) AuditVerifier *v = calloc(1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        v->counter = v->report.counter = -1;
        if (options->key) {
                v->have_key = true;
                v->report.signer_known = true;
                v->report.key = *options->key;
                v->name_known = options->key->name[0] != '\0';
                if (v->name_known && strncmp(options->key->name, AUDIT_ORIGIN_PREFIX,
                                                     sizeof(AUDIT_ORIGIN_PREFIX) - 1) != 0)
                        return HF_E_INVALID_ARGS;
                strcpy(v->origin, options->key->name);
        }
        if (options->expect) {
                v->expect_len = strlen(options->expect);
                if (audit_note_parse(options->expect, v->expect_len, &v->expect))
                        return HF_E_INVALID_ARGS;
                v->have_expect = true;
                memcpy(v->expect_text, options->expect, v->expect_len);
        }
        if (options->log_key) {
                v->have_log_key = true;
                memcpy(v->log_key, options->log_key, sizeof(v->log_key));
        }
        *ret = TAKE_PTR(v);
        return 0;
}

AuditVerifier *audit_verifier_free(AuditVerifier *v)
{
        free(v);
        return NULL;
}

/* What does not fit any more makes no difference: the line is too long already. */
static void keep(AuditVerifier *v, const char *p, size_t n)
{
        size_t room = sizeof(v->line) - v->line_len;

        memcpy(v->line + v->line_len, p, n < room ? n : room);
        v->line_len += n < room ? n : room;
}

void audit_verifier_feed(AuditVerifier *v, const void *data, size_t len)
{
        const char *p = data, *end = p + len;

        while (p < end && !v->decided) {
                const char *newline;
                size_t n;

                if (v->line_len == 0 && *p == '\0')
                        v->ended = true;
                if (v->ended) {
                        if (*p++ != '\0' && !v->suspicion)
                                decide(v, AUDIT_CHANGED, v->expected, v->n_lines + 1);
                        continue;
                }
                newline = memchr(p, '\n', end - p);
                n = (size_t)((newline ? newline : end) - p);
                if (newline && v->line_len == 0 && n < AUDIT_LINE_MAX) {
                        take_line(v, BYTES(p, n)); /* whole in the input: no copy */
                        p = newline + 1;
                        continue;
                }
                keep(v, p, n);
                p += n;
                if (!newline)
                        continue;
                p++;
                take_line(v, BYTES(v->line, v->line_len));
                v->line_len = 0;
        }
}

/* The input ends without a newline. */
static void take_rest(AuditVerifier *v)
{
        static const char mark[] = "{\"seq\":";

        if (v->n_lines > 0)
                decide(v, AUDIT_TRUNCATED, v->expected, v->n_lines + 1);
        else if (v->line_len >= sizeof(mark) - 1 && memcmp(v->line, mark, sizeof(mark) - 1) == 0)
                decide(v, AUDIT_TRUNCATED, 0, 1);
        else
                decide(v, AUDIT_NOT_A_LOG, 0, 1);
}

static void finish_expect(AuditVerifier *v)
{
        uint64_t size = v->expect.size;

        if (strcmp(v->expect.origin, v->origin) != 0 || (v->have_key && !v->expect_signed))
                decide(v, AUDIT_FOREIGN, size - 1, 0);
        else if (size > v->expected)
                decide(v, AUDIT_TRUNCATED, v->expected, v->n_lines + 1);
        else if (size == v->report.first_seq && memcmp(v->first_prev, v->expect.head, 32) != 0)
                decide(v, AUDIT_CHANGED, size - 1, 0);
        else if (size < v->report.first_seq)
                decide(v, AUDIT_TRUNCATED, size - 1, 0);
}

void audit_verifier_finish(AuditVerifier *v, AuditReport *ret)
{
        AuditReport *report = &v->report;

        if (!v->decided && v->suspicion)
                resolve(v);
        else if (!v->decided && (v->line_len > 0 || v->n_lines == 0))
                take_rest(v);
        if (!v->decided && v->have_expect)
                finish_expect(v);
        if (!v->decided)
                report->verdict = AUDIT_GOOD;
        report->unsealed = report->records;
        if (report->sealed > report->first_seq)
                report->unsealed = v->expected - report->sealed;
        if (report->checkpoints > 0 && report->unsealed > 0)
                report->unsealed--; /* the line of the last checkpoint itself */
        *ret = *report;
}

int audit_verify_fd(int fd, const AuditVerifyOptions *options, AuditReport *ret)
{
        _cleanup_(audit_verifier_freep) AuditVerifier *v = NULL;
        _cleanup_free_ char *buffer = malloc(READ_SIZE);
        int r;

        if (!buffer)
                return -ENOMEM;
        r = audit_verifier_new(options, &v);
        if (r)
                return r;
        for (;;) {
                ssize_t n = read(fd, buffer, READ_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                audit_verifier_feed(v, buffer, (size_t)n);
        }
        audit_verifier_finish(v, ret);
        return 0;
}
