/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libholdfast, the rest of the contract
 *
 * Any method of org.holdfast.Keystore1(5) as a value: `holdfast` is made of these calls. The answer is an
 * sd-bus message, read with sd_bus_message_read(3) and freed with sd_bus_message_unref(3). Since those are
 * not locked, a connection used with hf_call() belongs to one thread.
 *
 *         sd_bus_message *reply;
 *         const HfArg args[] = {{.type = HF_ARG_U32, .number = 32}};
 *         r = hf_call(c, &(HfCall){.path = HF_ADMIN_MANAGER, .member = "Random", .args = args, .n_args = 1},
 * &reply);
 */
#include <holdfast.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_ADMIN_MANAGER "/org/holdfast/Keystore1/Manager"
#define HF_ADMIN_AUDIT "/org/holdfast/Keystore1/Audit"

/* For libraries that stand on this one: the sentence (NULL: the general one) becomes that of the thread's last failed call.
 * Returns result, which is not HF_OK. */
HF_EXPORT int hf_error_set(int result, const char *sentence);

typedef enum HfArgType {
        HF_ARG_STRING = 's',
        HF_ARG_BOOL = 'b',
        HF_ARG_U32 = 'u',
        HF_ARG_U64 = 't',
        HF_ARG_FD = 'h',
        HF_ARG_BYTES = 'y',   /* ay: one span */
        HF_ARG_SPANS = 'Y',   /* aay: n_items spans */
        HF_ARG_STRINGS = 'S', /* as: ends in NULL */
        HF_ARG_NUMBERS = 'U', /* au: n_items */
} HfArgType;

typedef struct HfArg {
        const char *option; /* NULL: an argument of its own, in order; else its name in the options that end
                               every call */
        HfArgType type;
        union {
                const char *string;
                uint64_t number; /* bool, u32, u64 */
                int fd;          /* borrowed */
                HfSpan bytes;
                const HfSpan *spans;
                const char *const *strings;
                const uint32_t *numbers;
        };
        size_t n_items;
} HfArg;

typedef struct HfCall {
        const char *path;      /* HF_ADMIN_MANAGER, HF_ADMIN_AUDIT, or NULL: that of `key` */
        const char *key;       /* name or UUID */
        const char *interface; /* NULL: the one that belongs to the path */
        const char *member;
        const HfArg *args;
        size_t n_args;
        bool idempotent;  /* may be sent again if the connection broke under it */
        bool secret;      /* message and answer are erased when they are freed */
        uint64_t timeout; /* microseconds; 0: the connection's */
} HfCall;

/* 0 and the answer, or an HfResult. ret_reply may be NULL. */
HF_EXPORT int hf_call(HfConnection *c, const HfCall *call, sd_bus_message **ret_reply);

/* "direct" or "bus"; "none" before the first call of a connection that was lost. */
HF_EXPORT const char *hf_connection_road(HfConnection *c);

/* A secret as the daemon takes it: a sealed memfd of len bytes (1 to 1,024), to be closed by the caller. */
HF_EXPORT int hf_secret_fd(const void *secret, size_t len, int *ret);

#ifdef __cplusplus
}
#endif
