/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of the bus contract; the interfaces themselves are the XML files beside this one. */
#define HF_BUS_NAME "org.holdfast.Keystore1"
#define HF_PATH_ROOT "/org/holdfast/Keystore1"
#define HF_PATH_MANAGER HF_PATH_ROOT "/Manager"
#define HF_PATH_AUDIT HF_PATH_ROOT "/Audit"
#define HF_PATH_KEY HF_PATH_ROOT "/key"
#define HF_PATH_IDENTITY HF_PATH_ROOT "/identity"
#define HF_PATH_AUTHORITY HF_PATH_ROOT "/ca"
#define HF_IFACE_MANAGER HF_BUS_NAME ".Manager"
#define HF_IFACE_KEY HF_BUS_NAME ".Key"
#define HF_IFACE_IDENTITY HF_BUS_NAME ".Identity"
#define HF_IFACE_AUTHORITY HF_BUS_NAME ".Authority"
#define HF_IFACE_AUDIT HF_BUS_NAME ".Audit"
#define HF_ERROR_PREFIX HF_BUS_NAME ".Error."

#define HF_SOCKET_PATH "/run/holdfast/bus"
#define HF_SOCKET_ENV "HOLDFAST_SOCKET" /* another path of the direct socket, for tests and chroots */

#define HF_MESSAGE_MAX (64 * 1024)     /* bytes that Sign, Mac, Seal take in one call */
#define HF_BUS_MESSAGE_MAX (128 * 1024) /* bytes of a whole D-Bus message */
#define HF_SIGN_MANY_MAX 1024
#define HF_LIST_PAGE_MAX 1000
#define HF_RANDOM_MAX 4096
