/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Failures: one sentence, in all the places where a program may look for it. */
#include "libclient-ssl/failure.h"

#include <errno.h>
#include <holdfast-admin.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "libclient-ssl/holdfast-ssl.h"

#define SENTENCE_SIZE (2 * FINDING_TEXT_SIZE + 128)

/* What a failed handshake leaves with its SSL. */
typedef struct Verdict {
        FindingKind kind;
        int result;
        char sentence[SENTENCE_SIZE];
} Verdict;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int queue_library, verdict_index = -1;
static ERR_STRING_DATA reasons[_FINDING_MAX + 1];
static __thread FindingKind last_kind;

static void free_verdict(void *parent, void *verdict, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
        (void)parent, (void)data, (void)index, (void)argl, (void)argp;
        free(verdict);
}

/* In the error queue we are "holdfast", and a reason is the word of a finding. 0, the end of the table, is its own. */
static void begin(void)
{
        static ERR_STRING_DATA names[] = {{0, "holdfast"}, {0, NULL}};

        queue_library = ERR_get_next_error_library();
        names[0].error = ERR_PACK(queue_library, 0, 0);
        for (unsigned kind = FINDING_NONE + 1; kind < _FINDING_MAX; kind++)
                reasons[kind - 1] = (ERR_STRING_DATA){ERR_PACK(0, 0, kind), finding_word(kind)};
        ERR_load_strings(queue_library, names);
        ERR_load_strings(queue_library, reasons);
        verdict_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_verdict);
}

/* A verdict that cannot be kept for want of memory is still in the queue. */
static void keep_verdict(SSL *ssl, FindingKind kind, int result, const char *sentence)
{
        Verdict *v = SSL_get_ex_data(ssl, verdict_index);

        if (!v) {
                v = calloc(1, sizeof(*v));
                if (!v || SSL_set_ex_data(ssl, verdict_index, v) != 1) {
                        free(v);
                        return;
                }
        }
        v->kind = kind;
        v->result = result;
        snprintf(v->sentence, sizeof(v->sentence), "%s", sentence);
}

static int tell(const SSL *ssl, FindingKind kind, int result, const char *sentence)
{
        char kept[SENTENCE_SIZE]; /* it may be the thread's last sentence */

        pthread_once(&once, begin);
        snprintf(kept, sizeof(kept), "%s", sentence ? sentence : hf_strerror(result));
        last_kind = kind;
        ERR_raise_data(queue_library, kind == FINDING_NONE ? ERR_R_OPERATION_FAIL : (int)kind, "%s: %s",
                        hf_error_to_name(result), kept);
        if (ssl)
                keep_verdict((SSL *)ssl, kind, result, kept);
        return hf_error_set(result, kept);
}

int failure_set(int result, const char *sentence)
{
        return tell(NULL, FINDING_NONE, result, sentence);
}

int failure_on(const SSL *ssl, int result, const char *sentence)
{
        return tell(ssl, FINDING_NONE, result, sentence);
}

int failure_from(int r)
{
        char text[128], sentence[256];

        if (r >= 0)
                return failure_set(r, NULL);
        snprintf(sentence, sizeof(sentence), "In this program: %s. Nothing was done.", strerror_r(-r, text, sizeof(text)));
        return failure_set(HF_ERROR_INTERNAL, sentence);
}

int failure_findings(const SSL *ssl, const char *name, const FindingList *findings)
{
        char text[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE], sentence[SENTENCE_SIZE];
        const Finding *first = &findings->items[0];
        int result = first->kind == FINDING_FILES_MISSING ? HF_ERROR_NO_SUCH_IDENTITY : HF_ERROR_CERTIFICATE_UNUSABLE;

        snprintf(sentence, sizeof(sentence), "%s: %s %s", name, finding_sentence(first, text), finding_remedy(first, remedy));
        return tell(ssl, first->kind, result, sentence);
}

/* Nobody of ours complained: then OpenSSL's error queue tells whether it is in the list. */
static FindingKind kind_of_reason(int reason)
{
        static const struct {
                int reason;
                FindingKind kind;
        } known[] = {
                {SSL_R_UNSUPPORTED_PROTOCOL, FINDING_NO_COMMON_VERSION},
                {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, FINDING_NO_COMMON_VERSION},
                {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, FINDING_FILES_MISSING},
                {SSL_R_NO_SHARED_CIPHER, FINDING_NO_COMMON_CIPHER},
                {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, FINDING_NO_COMMON_SIGNATURE},
                {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, FINDING_NO_COMMON_SIGNATURE},
                {SSL_R_WRONG_VERSION_NUMBER, FINDING_NOT_TLS},
                {SSL_R_HTTP_REQUEST, FINDING_NOT_TLS},
        };

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (reason == known[i].reason)
                        return known[i].kind;
        return reason > SSL_AD_REASON_OFFSET ? FINDING_REFUSED : FINDING_NONE;
}

static const char *detail_of_reason(unsigned long e)
{
        int reason = ERR_GET_REASON(e);

        if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
                return "certificate of the peer";
        return reason > SSL_AD_REASON_OFFSET ? SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET)
                                             : ERR_reason_error_string(e);
}

/* Whether it is the provider's, whose reasons are our results. */
static bool is_refusal_of_key(unsigned long e)
{
        const char *library = ERR_SYSTEM_ERROR(e) ? NULL : ERR_lib_error_string(e);

        return library && ERR_GET_LIB(e) != queue_library && strcmp(library, "holdfast") == 0;
}

/* The provider's own words come before libssl's complaint that there is no signature. Returns the result that fits. */
static int read_queue(FindingList *findings)
{
        char detail[FINDING_DETAIL_SIZE];
        const char *data = NULL;
        unsigned long first = ERR_peek_error_data(&data, NULL), last = ERR_peek_last_error();
        int reason = ERR_GET_REASON(last);

        if (is_refusal_of_key(first)) {
                snprintf(detail, sizeof(detail), "%.*s", (int)finding_first_sentence(data), data);
                findings_add(findings, FINDING_KEY_UNUSABLE, FINDING_OF_OURS, 0, detail);
                return ERR_GET_REASON(first);
        }
        if (ERR_GET_LIB(last) == ERR_LIB_SSL && kind_of_reason(reason) != FINDING_NONE)
                findings_add(findings, kind_of_reason(reason), FINDING_OF_PEER, 0, detail_of_reason(last));
        return HF_ERROR_CERTIFICATE_UNUSABLE;
}

static const char *finding_of_queue(void)
{
        char text[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE], sentence[SENTENCE_SIZE];
        FindingList findings = {.n = 0};
        int result = read_queue(&findings);

        if (findings.n == 0)
                return finding_word(FINDING_NONE);
        snprintf(sentence, sizeof(sentence), "%s %s", finding_sentence(&findings.items[0], text),
                        finding_remedy(&findings.items[0], remedy));
        hf_error_set(result, sentence);
        return finding_word(findings.items[0].kind);
}

void failure_forget(SSL *ssl)
{
        pthread_once(&once, begin);
        if (!SSL_get_ex_data(ssl, verdict_index))
                return;
        free(SSL_get_ex_data(ssl, verdict_index));
        (void)SSL_set_ex_data(ssl, verdict_index, NULL);
}

const char *hf_ssl_finding(const SSL *ssl)
{
        const Verdict *v;

        pthread_once(&once, begin);
        if (!ssl)
                return finding_word(last_kind);
        v = SSL_get_ex_data(ssl, verdict_index);
        if (!v)
                return finding_of_queue();
        hf_error_set(v->result, v->sentence);
        return finding_word(v->kind);
}
