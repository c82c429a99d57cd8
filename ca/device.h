/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a certificate says of a device
 *
 * Its id and label are alternative names (URIs), so that servers can match them with what they have; type, hardware
 * revision and firmware version are in one extension of ours, which nobody has to understand. The encodings:
 * docs/formats/certificate.md.
 */
#include "base/bytes.h"
#include "ca/problem.h"

#define CA_DEVICE_TEXT_MAX 128
#define CA_DEVICE_URI_MAX (3 * CA_DEVICE_TEXT_MAX + 32)
/* Under 2.25 stands the UUID 8f3f4a1c-6a0d-4b52-9d57-3e1c0b7a52e4 (ITU-T X.667), .1 is the extension. */
#define CA_DEVICE_OID "2.25.190408221248851367367029051213429232356.1"

/* Each NULL or "" where it is not known; UTF-8. */
typedef struct CaDevice {
        const char *id;       /* a UUID, or any text */
        const char *label;
        const char *type;
        const char *hardware; /* revision */
        const char *firmware; /* version */
} CaDevice;

/* HF_E_REQUEST_REFUSED: one of the texts is longer than CA_DEVICE_TEXT_MAX bytes or has a control character. */
int ca_device_check(const CaDevice *device, CaProblem *problem);
/* "urn:uuid:ID" if the id is a UUID, "urn:holdfast:deviceId:ID" otherwise, "" without one. */
void ca_device_id_uri(const CaDevice *device, char ret[static CA_DEVICE_URI_MAX]);
/* "urn:holdfast:deviceLabel:LABEL", or "". */
void ca_device_label_uri(const CaDevice *device, char ret[static CA_DEVICE_URI_MAX]);
/* Is this the form in which we name devices? Then it is not the requester's to choose. */
bool ca_device_is_uri(const char *uri);
