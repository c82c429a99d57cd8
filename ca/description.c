/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/description.h"

#include <errno.h>
#include <openssl/asn1t.h>

/* DeviceDescription of docs/formats/certificate.md */
typedef struct DeviceDescription {
        ASN1_UTF8STRING *type, *hardware, *firmware;
} DeviceDescription;

ASN1_SEQUENCE(DeviceDescription) = {
        ASN1_IMP_OPT(DeviceDescription, type, ASN1_UTF8STRING, 0),
        ASN1_IMP_OPT(DeviceDescription, hardware, ASN1_UTF8STRING, 1),
        ASN1_IMP_OPT(DeviceDescription, firmware, ASN1_UTF8STRING, 2),
} static_ASN1_SEQUENCE_END(DeviceDescription)

static int set_text(const char *text, ASN1_UTF8STRING **ret)
{
        if (!text || !*text)
                return 0;
        *ret = ASN1_UTF8STRING_new();
        return *ret && ASN1_STRING_set(*ret, text, -1) ? 0 : -ENOMEM;
}

static int encode_device(const CaDevice *device, uint8_t **ret, int *ret_len)
{
        DeviceDescription *d = (DeviceDescription *)ASN1_item_new(ASN1_ITEM_rptr(DeviceDescription));
        int r = d ? set_text(device->type, &d->type) : -ENOMEM;

        if (!r)
                r = set_text(device->hardware, &d->hardware);
        if (!r)
                r = set_text(device->firmware, &d->firmware);
        if (!r)
                *ret_len = ASN1_item_i2d((ASN1_VALUE *)d, ret, ASN1_ITEM_rptr(DeviceDescription));
        ASN1_item_free((ASN1_VALUE *)d, ASN1_ITEM_rptr(DeviceDescription));
        return r ? r : *ret_len > 0 ? 0 : -ENOMEM;
}

int description_add(const CaDevice *device, STACK_OF(X509_EXTENSION) **list)
{
        ASN1_OBJECT *oid = NULL;
        ASN1_OCTET_STRING *value = NULL;
        X509_EXTENSION *extension = NULL;
        uint8_t *der = NULL;
        int len = 0, r;

        if ((!device->type || !*device->type) && (!device->hardware || !*device->hardware) &&
                        (!device->firmware || !*device->firmware))
                return 0;
        r = encode_device(device, &der, &len);
        if (!r) {
                oid = OBJ_txt2obj(CA_DEVICE_OID, 1);
                value = ASN1_OCTET_STRING_new();
                if (oid && value && ASN1_OCTET_STRING_set(value, der, len))
                        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
                r = extension && X509v3_add_ext(list, extension, -1) ? 0 : -ENOMEM;
        }
        X509_EXTENSION_free(extension);
        ASN1_OCTET_STRING_free(value);
        ASN1_OBJECT_free(oid);
        OPENSSL_free(der);
        return r;
}

static void get_text(const ASN1_UTF8STRING *from, char ret[static CA_DEVICE_TEXT_MAX + 1])
{
        int n = from ? ASN1_STRING_length(from) : 0;

        if (n <= 0 || n > CA_DEVICE_TEXT_MAX)
                return;
        memcpy(ret, ASN1_STRING_get0_data(from), (size_t)n);
        ret[n] = '\0';
}

void description_read(const X509 *x, DescriptionTexts *ret)
{
        ASN1_OBJECT *oid = OBJ_txt2obj(CA_DEVICE_OID, 1);
        int at = oid ? X509_get_ext_by_OBJ(x, oid, -1) : -1;
        const ASN1_OCTET_STRING *value = at >= 0 ? X509_EXTENSION_get_data(X509_get_ext(x, at)) : NULL;
        const uint8_t *p = value ? ASN1_STRING_get0_data(value) : NULL;
        DeviceDescription *d = NULL;

        *ret = (DescriptionTexts){};
        if (p)
                d = (DeviceDescription *)ASN1_item_d2i(NULL, &p, ASN1_STRING_length(value), ASN1_ITEM_rptr(DeviceDescription));
        if (d) {
                get_text(d->type, ret->type);
                get_text(d->hardware, ret->hardware);
                get_text(d->firmware, ret->firmware);
        }
        ASN1_item_free((ASN1_VALUE *)d, ASN1_ITEM_rptr(DeviceDescription));
        ASN1_OBJECT_free(oid);
}
