/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/der.h"

#define TAG_CONSTRUCTED 0x20
#define TAG_LONG 0x1f

enum {
        TAG_BOOLEAN = 1,
        TAG_INTEGER = 2,
        TAG_NULL = 5,
        TAG_OBJECT = 6,
        TAG_ENUMERATED = 10,
        TAG_SEQUENCE = 16 | TAG_CONSTRUCTED,
        TAG_SET = 17 | TAG_CONSTRUCTED,
};

static const char truncated[] = "it ends inside a value";

/* Takes tag and length off the front; what remains of *b begins with the contents. */
static const char *take_header(Bytes *b, uint8_t *ret_tag, size_t *ret_len)
{
        size_t len, n;

        if (b->len < 2)
                return truncated;
        if ((b->data[0] & TAG_LONG) == TAG_LONG)
                return "a tag is of a kind that certificates do not have";
        len = b->data[1];
        n = len & 0x7f;
        if (len == 0x80)
                return "a length is indefinite";
        if (len > 0x80) {
                if (n > 4)
                        return "a length is out of bounds";
                if (b->len < 2 + n)
                        return truncated;
                len = 0;
                for (size_t i = 0; i < n; i++)
                        len = len << 8 | b->data[2 + i];
                if (len < 0x80 || b->data[2] == 0)
                        return "a length is not the shortest";
        } else {
                n = 0;
        }
        if (b->len - 2 - n < len)
                return truncated;
        *ret_tag = b->data[0];
        *ret_len = len;
        b->data += 2 + n;
        b->len -= 2 + n;
        return NULL;
}

static bool integer_is_shortest(Bytes b)
{
        if (b.len < 2)
                return b.len == 1;
        return !(b.data[0] == 0 && !(b.data[1] & 0x80)) && !(b.data[0] == 0xff && (b.data[1] & 0x80));
}

/* Each component is 7 bits a byte, the last without the top bit, none with leading zeroes. */
static bool object_is_well_formed(Bytes b)
{
        bool begins = true;

        for (size_t i = 0; i < b.len; i++) {
                if (begins && b.data[i] == 0x80)
                        return false;
                begins = !(b.data[i] & 0x80);
        }
        return b.len > 0 && begins;
}

static const char *primitive_complaint(uint8_t tag, Bytes b)
{
        switch (tag) {
        case TAG_BOOLEAN:
                return b.len == 1 && (b.data[0] == 0 || b.data[0] == 0xff) ? NULL : "a BOOLEAN is neither true nor false";
        case TAG_INTEGER:
        case TAG_ENUMERATED:
                return integer_is_shortest(b) ? NULL : "an INTEGER is not the shortest";
        case TAG_NULL:
                return b.len == 0 ? NULL : "a NULL has contents";
        case TAG_OBJECT:
                return object_is_well_formed(b) ? NULL : "an OBJECT IDENTIFIER is not well-formed";
        case TAG_SEQUENCE & ~TAG_CONSTRUCTED:
        case TAG_SET & ~TAG_CONSTRUCTED:
                return "a SEQUENCE is not one";
        }
        return NULL;
}

static bool may_be_constructed(uint8_t tag)
{
        return (tag & 0xc0) || tag == TAG_SEQUENCE || tag == TAG_SET;
}

static const char *values_complaint(Bytes b, unsigned depth)
{
        const char *complaint = NULL;
        uint8_t tag;
        size_t len;

        if (depth > DER_DEPTH_MAX)
                return "it is nested too deeply";
        while (b.len > 0 && !complaint) {
                complaint = take_header(&b, &tag, &len);
                if (complaint)
                        break;
                if (!(tag & TAG_CONSTRUCTED))
                        complaint = primitive_complaint(tag, BYTES(b.data, len));
                else if (may_be_constructed(tag))
                        complaint = values_complaint(BYTES(b.data, len), depth + 1);
                else
                        complaint = "a string is in pieces";
                b.data += len;
                b.len -= len;
        }
        return complaint;
}

const char *der_complaint(Bytes der)
{
        const char *complaint;
        Bytes rest = der;
        uint8_t tag;
        size_t len;

        complaint = take_header(&rest, &tag, &len);
        if (complaint)
                return complaint;
        if (rest.len != len)
                return "there is something behind its end";
        return values_complaint(der, 0);
}

bool der_take(Bytes *b, Bytes *ret_whole, Bytes *ret_contents)
{
        Bytes rest = *b;
        uint8_t tag;
        size_t len;

        if (take_header(&rest, &tag, &len))
                return false;
        *ret_contents = BYTES(rest.data, len);
        *ret_whole = BYTES(b->data, (size_t)(rest.data - b->data) + len);
        *b = BYTES(rest.data + len, rest.len - len);
        return true;
}
