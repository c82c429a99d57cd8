/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of an identity, as holdfastd writes them. */
#include "x509/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/name.h"
#include "base/uuid.h"

#define REFERENCE_MAX 4096
#define PINS_FILE_MAX 4096
#define READINGS_MAX 8
#define LABEL "HOLDFAST KEY REFERENCE"
#define DESCRIPTION "Holdfast Key Reference v1"

typedef struct Reference {
        ASN1_VISIBLESTRING *description;
        ASN1_UTF8STRING *uuid;
        ASN1_BOOLEAN digest;
        ASN1_OCTET_STRING *spki;
} Reference;

ASN1_SEQUENCE(Reference) = {
        ASN1_SIMPLE(Reference, description, ASN1_VISIBLESTRING),
        ASN1_SIMPLE(Reference, uuid, ASN1_UTF8STRING),
        ASN1_OPT(Reference, digest, ASN1_FBOOLEAN),
        ASN1_SIMPLE(Reference, spki, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(Reference)

static Bytes string_bytes(const ASN1_STRING *s)
{
        return BYTES(ASN1_STRING_get0_data(s), ASN1_STRING_length(s));
}

static bool is_uuid(Bytes text)
{
        char uuid[UUID_TEXT_SIZE];
        Uuid u;

        snprintf(uuid, sizeof(uuid), "%.*s", (int)text.len, (const char *)text.data);
        return text.len == UUID_TEXT_SIZE - 1 && uuid_parse(uuid, &u);
}

static int reference_spki(Bytes der, Buffer *ret)
{
        const uint8_t *at = der.data;
        Reference *reference = (Reference *)ASN1_item_d2i(NULL, &at, (long)der.len, ASN1_ITEM_rptr(Reference));
        int r = HF_E_INVALID_ARGS;

        if (reference && at == der.data + der.len && bytes_equal(string_bytes(reference->description), bytes_str(DESCRIPTION)) &&
                        is_uuid(string_bytes(reference->uuid))) {
                Bytes spki = string_bytes(reference->spki);

                r = buffer_append(ret, spki.data, spki.len);
        }
        ASN1_item_free((ASN1_VALUE *)reference, ASN1_ITEM_rptr(Reference));
        return r;
}

int cert_reference_public_key(Bytes pem, Buffer *ret)
{
        char *label = NULL, *header = NULL;
        uint8_t *der = NULL;
        long len = 0;
        int r = HF_E_INVALID_ARGS;
        BIO *in;

        if (pem.len == 0 || pem.len > REFERENCE_MAX)
                return r;
        in = BIO_new_mem_buf(pem.data, (int)pem.len);
        if (!in)
                return -ENOMEM;
        ERR_set_mark();
        if (PEM_read_bio(in, &label, &header, &der, &len) == 1 && strcmp(label, LABEL) == 0)
                r = reference_spki(BYTES(der, len), ret);
        ERR_pop_to_mark();
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
        BIO_free(in);
        return r;
}

void cert_identity_clear(CertIdentity *identity)
{
        cert_chain_unref(identity->chain);
        cert_anchors_unref(identity->anchors);
        cert_crls_free(identity->crls);
        buffer_deinit(&identity->reference);
        buffer_deinit(&identity->public_key);
        *identity = (CertIdentity){.chain = NULL};
}

const char *cert_directory(void)
{
        const char *text = secure_getenv(CERT_DIRECTORY_VARIABLE);

        return text && *text ? text : CERT_DIRECTORY;
}

/* A file that may be missing is then empty; one that must not is a finding. Too large a file is one as well. */
typedef enum Need {
        NEED_FILE,
        NEED_NOTHING,
        NEED_CONTENT, /* if it is there: what it was to restrict would else be wide open */
} Need;

static int read_file(int directory_fd, const char *name, Need need, FindingList *findings, Buffer *ret)
{
        int r = io_read_file(directory_fd, name, ret);
        char detail[FINDING_DETAIL_SIZE];

        if (r == 0 && ret->len == 0 && need == NEED_CONTENT) {
                snprintf(detail, sizeof(detail), "%s is empty", name);
                findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0, detail);
                return HF_E_INVALID_ARGS;
        }
        if (r == -ENOENT && need != NEED_FILE)
                return 0;
        if (r == -ENOENT)
                findings_add(findings, FINDING_FILES_MISSING, FINDING_OF_OURS, 0, name);
        else if (r == -EFBIG || r == -ELOOP)
                findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0,
                                r == -EFBIG ? "the file is too large" : "it is a link");
        else
                return r;
        return HF_E_INVALID_ARGS;
}

static int load_chain(int fd, FindingList *findings, CertIdentity *identity)
{
        _cleanup_buffer_ Buffer leaf = BUFFER_INIT(CERT_FILE_MAX), rest = BUFFER_INIT(CERT_FILE_MAX);
        int r;

        r = read_file(fd, "cert.pem", NEED_FILE, findings, &leaf);
        if (r == 0)
                r = read_file(fd, "chain.pem", NEED_NOTHING, findings, &rest);
        if (r)
                return r;
        return cert_chain_parse_parts(buffer_bytes(&leaf), buffer_bytes(&rest), FINDING_OF_OURS, findings, &identity->chain);
}

static int load_trust(int fd, FindingList *findings, CertIdentity *identity)
{
        _cleanup_buffer_ Buffer anchors = BUFFER_INIT(CERT_ANCHORS_FILE_MAX), pins = BUFFER_INIT(PINS_FILE_MAX);
        _cleanup_buffer_ Buffer crls = BUFFER_INIT(CERT_CRL_FILE_MAX);
        int r;

        r = read_file(fd, "ca.pem", NEED_CONTENT, findings, &anchors);
        if (r == 0 && anchors.len > 0)
                r = cert_anchors_parse(buffer_bytes(&anchors), findings, &identity->anchors);
        if (r == 0)
                r = read_file(fd, "crl.pem", NEED_CONTENT, findings, &crls);
        if (r == 0 && crls.len > 0)
                r = cert_crls_parse(buffer_bytes(&crls), findings, &identity->crls);
        if (r == 0)
                r = read_file(fd, "pins.txt", NEED_CONTENT, findings, &pins);
        return r ? r : cert_pins_parse(buffer_bytes(&pins), findings, &identity->pins);
}

static int load_reference(int fd, FindingList *findings, CertIdentity *identity)
{
        int r;

        identity->reference = BUFFER_INIT(REFERENCE_MAX);
        identity->public_key = BUFFER_INIT(REFERENCE_MAX);
        r = read_file(fd, "key.pem", NEED_FILE, findings, &identity->reference);
        if (r == 0)
                r = cert_reference_public_key(buffer_bytes(&identity->reference), &identity->public_key);
        if (r == HF_E_INVALID_ARGS && findings->n == 0)
                findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0, "key.pem is not a key reference");
        return r;
}

static int load_files(int directory_fd, FindingList *findings, CertIdentity *ret)
{
        _cleanup_identity_ CertIdentity identity = {.chain = NULL};
        int r;

        r = load_chain(directory_fd, findings, &identity);
        if (r == 0)
                r = load_reference(directory_fd, findings, &identity);
        if (r == 0)
                r = load_trust(directory_fd, findings, &identity);
        if (r)
                return r;
        *ret = identity;
        identity = (CertIdentity){.chain = NULL};
        return 0;
}

int cert_identity_load_fd(int directory_fd, FindingList *findings, CertIdentity *ret)
{
        struct stat before, after;
        FindingList found = *findings;
        int r;

        if (fstat(directory_fd, &before) < 0)
                return -errno;
        r = load_files(directory_fd, &found, ret);
        if (fstat(directory_fd, &after) < 0 || after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
                        after.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
                if (r == 0)
                        cert_identity_clear(ret);
                return -ESTALE;
        }
        *findings = found;
        return r;
}

static int load_once(const char *directory, const char *name, FindingList *findings, CertIdentity *ret)
{
        _cleanup_close_ int parent = -EBADF, fd = -EBADF;

        parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0)
                fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                return cert_identity_load_fd(fd, findings, ret);
        if (errno != ENOENT)
                return -errno;
        findings_add(findings, FINDING_FILES_MISSING, FINDING_OF_OURS, 0, parent < 0 ? directory : name);
        return HF_E_INVALID_ARGS;
}

int cert_identity_load(const char *directory, const char *name, FindingList *findings, CertIdentity *ret)
{
        int r = -ESTALE;

        if (!name_is_valid(name))
                return HF_E_INVALID_NAME;
        for (unsigned n = 0; r == -ESTALE && n < READINGS_MAX; n++)
                r = load_once(directory, name, findings, ret);
        return r;
}

int cert_identity_check(const CertIdentity *identity, CertUsage usage, uint64_t time, FindingList *findings)
{
        const CertCheck check = {.chain = identity->chain, .whose = FINDING_OF_OURS,
                        .public_key = buffer_bytes(&identity->public_key),
                        .usage = usage, .time = time};

        return cert_check(&check, findings);
}
