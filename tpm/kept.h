/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is kept between two requests, and nothing else
 *
 * The storage parents (persistent, or a saved context of a primary), one salted session, and the saved contexts of the
 * keys used last. None of it is secret, each of it can be had again, and all of it is worthless after a reset of the
 * TPM: kept_forget() is the whole recovery.
 */
#include "tpm/device.h"

#define PARENTS_MAX 8
#define OBJECTS_MAX 64

/* TCG TPM v2.0 Provisioning Guidance, section 7.5.1: the shared storage root key. */
#define PARENT_USUAL 0x81000001u
#define PARENT_OWNER 0x40000001u /* in TSS2 key files: the primary of the owner's hierarchy */

typedef struct Parent {
        uint8_t name[TPM_NAME_SIZE];
        TPM2_HANDLE handle;  /* persistent, or PARENT_OWNER */
        size_t template;     /* of a primary */
        ESYS_TR tr;          /* of a persistent one */
        TPMS_CONTEXT *saved; /* of a primary */
} Parent;

/* A key that was loaded once. `blob` has copies of its own. */
typedef struct Object {
        uint64_t hash; /* of the blob: looks before it compares */
        uint64_t used;
        TpmBlob blob;
        TPMS_CONTEXT *saved;
} Object;

/* See endorsement.h. */
typedef struct Endorsement {
        TPMS_CONTEXT *ak_saved; /* NULL: nothing is known yet */
        TPM2B_PUBLIC ak, ek;
        uint8_t certificate[TPM_EK_CERTIFICATE_MAX];
        size_t certificate_len;
} Endorsement;

typedef struct Kept {
        Device *device;
        uint64_t opened; /* of the device: what is kept belongs to this opening */
        Parent parents[PARENTS_MAX]; /* the first is for new blobs */
        size_t n_parents;
        Loaded session;
        uint64_t sessions; /* started so far */
        uint8_t session_parent[TPM_NAME_SIZE];
        Object objects[OBJECTS_MAX];
        uint64_t uses;
        const Object *later; /* whose key still waits to be flushed, NULL: nobody's */
        Endorsement endorsement;
} Kept;

void kept_init(Kept *k, Device *d);
/* Anything that could have gone bad is here. */
bool kept_any(const Kept *k);
void kept_forget(Kept *k);

/* The parent of this name, or the one for new blobs where name is NULL or zeros. HF_E_TPM_IDENTITY_CHANGED: none has it. */
int parent_find(Kept *k, const uint8_t *name, const Parent **ret);
/* The parent another program's key names, which load() accepts as its own: a primary may be made in more ways than one, so
 * load(parent, userdata) is tried with each that fits as long as it says HF_E_KEY_MISMATCH. */
int parent_try(Kept *k, TPM2_HANDLE handle, int (*load)(const Parent *p, void *userdata), void *userdata);
/* Its handle for a command. */
int parent_load(Kept *k, const Parent *p, Loaded *ret);

/* The session, salted to this parent (NULL: whichever it is salted to) and with these attributes for the next command. */
int session_get(Kept *k, const Parent *p, TPMA_SESSION attributes, ESYS_TR *ret);
/* A policy session of its own, salted to the parent, which is loaded. */
int session_policy(Kept *k, ESYS_TR parent, Loaded *ret);

void object_drop(Object *o);
/* The key in the blob, loaded and authorised by `auth` (NULL: not yet). HF_E_KEY_MISMATCH: not this TPM's, or altered. */
int object_load(Kept *k, const TpmBlob *blob, const uint8_t *auth, Loaded *ret);
/* When the answer is out. Who is next finds it loaded if he wants the same and comes at once: see serve.c. */
void object_later(Kept *k, const TpmBlob *blob, Loaded *l);
/* object_load() without keeping anything of it, under a parent that is loaded. */
int object_load_under(Kept *k, const Parent *p, ESYS_TR parent, const TpmBlob *blob, Loaded *ret);
