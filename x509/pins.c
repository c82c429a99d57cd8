/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins: text to hashes. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "x509/chain.h"

#define PREFIX "sha256//"
#define LINE_MAX_LEN 256

static int pins_add(CertPins *pins, Bytes text)
{
        size_t prefix = strlen(PREFIX), len = 0;
        uint8_t hash[32];
        int r;

        if (text.len < prefix || memcmp(text.data, PREFIX, prefix) != 0)
                return HF_E_INVALID_ARGS;
        r = base64_decode((const char *)text.data + prefix, text.len - prefix, hash, sizeof(hash), &len);
        if (r || len != sizeof(hash))
                return HF_E_INVALID_ARGS;
        if (pins->n == CERT_PINS_MAX)
                return HF_E_LIMIT_EXCEEDED;
        memcpy(pins->hashes[pins->n++], hash, sizeof(hash));
        return 0;
}

int cert_pins_add(CertPins *pins, const char *text)
{
        return pins_add(pins, bytes_str(text));
}

static Bytes take_line(Bytes *text)
{
        const uint8_t *end = memchr(text->data, '\n', text->len);
        size_t len = end ? (size_t)(end - text->data) : text->len, whole = end ? len + 1 : len;
        Bytes line = BYTES(text->data, len);

        text->data += whole;
        text->len -= whole;
        while (line.len > 0 && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
                line.len--;
        return line;
}

int cert_pins_parse(Bytes text, FindingList *findings, CertPins *ret)
{
        CertPins pins = {.n = 0};
        bool given = text.len > 0;

        if (text.len > LINE_MAX_LEN * CERT_PINS_MAX * 4) {
                findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0, "the file of pins is too large");
                return HF_E_INVALID_ARGS;
        }
        while (text.len > 0) {
                Bytes line = take_line(&text);

                if (line.len == 0 || line.data[0] == '#')
                        continue;
                if (pins_add(&pins, line) != 0) {
                        findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0,
                                        "a pin is not sha256// with the base64 of 32 bytes, or there are more than 16");
                        return HF_E_INVALID_ARGS;
                }
        }
        if (given && pins.n == 0) {
                findings_add(findings, FINDING_MALFORMED, FINDING_OF_OURS, 0, "there is no pin in the file of pins");
                return HF_E_INVALID_ARGS;
        }
        *ret = pins;
        return 0;
}
