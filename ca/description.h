/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The extension about a device, docs/formats/certificate.md (inside this room). */
#include <openssl/x509v3.h>

#include "ca/device.h"

/* Nothing where the device has none of the three. -ENOMEM. */
int description_add(const CaDevice *device, STACK_OF(X509_EXTENSION) **list);

typedef struct DescriptionTexts {
        char type[CA_DEVICE_TEXT_MAX + 1], hardware[CA_DEVICE_TEXT_MAX + 1], firmware[CA_DEVICE_TEXT_MAX + 1];
} DescriptionTexts;

/* Of a certificate we made; empty texts for what it does not say. */
void description_read(const X509 *x, DescriptionTexts *ret);
