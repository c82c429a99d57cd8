/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/device.h"

#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/uuid.h"
#include "ca/text.h"

#define URN_UUID "urn:uuid:"
#define URN_ID "urn:holdfast:deviceId:"
#define URN_LABEL "urn:holdfast:deviceLabel:"

int ca_device_check(const CaDevice *device, CaProblem *problem)
{
        const char *const texts[] = {device->id, device->label, device->type, device->hardware, device->firmware};
        static const char *const names[] = {"device id", "device label", "device type", "hardware revision", "firmware version"};

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                if (!texts[i])
                        continue;
                if (strlen(texts[i]) > CA_DEVICE_TEXT_MAX)
                        return ca_refuse(problem, "the %s has more than %d bytes", names[i], CA_DEVICE_TEXT_MAX);
                if (!ca_text_is_plain(texts[i]))
                        return ca_refuse(problem, "the %s has a control character or an invisible one", names[i]);
        }
        return 0;
}

/* RFC 3986 section 2.3: what may stand unescaped anywhere in a URI. */
static void escape(const char *prefix, const char *text, char *ret)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
        char *p = ret + sprintf(ret, "%s", prefix);

        for (; *text; text++)
                if (strchr(plain, *text))
                        *p++ = *text;
                else
                        p += sprintf(p, "%%%02X", (unsigned char)*text);
        *p = '\0';
}

void ca_device_id_uri(const CaDevice *device, char ret[static CA_DEVICE_URI_MAX])
{
        if (!device->id || !*device->id)
                *ret = '\0';
        else
                escape(uuid_parse(device->id, &(Uuid){}) ? URN_UUID : URN_ID, device->id, ret);
}

void ca_device_label_uri(const CaDevice *device, char ret[static CA_DEVICE_URI_MAX])
{
        if (!device->label || !*device->label)
                *ret = '\0';
        else
                escape(URN_LABEL, device->label, ret);
}

bool ca_device_is_uri(const char *uri)
{
        return strncasecmp(uri, URN_UUID, strlen(URN_UUID)) == 0 || strncasecmp(uri, "urn:holdfast:", 13) == 0;
}
