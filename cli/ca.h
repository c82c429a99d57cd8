/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the verbs of `ca` share, and those that have a file of their own. */
#include "cli/cli.h"
#include "x509/chain.h"

/* The object of the CA of this name; NULL: the one of --ca, or the usual one. 0 or an exit code, told. */
int ca_path(Cli *cli, const char *name, char **ret);
/* One call of that object. 0 or what cli_try() gives, not told. */
int ca_try(Cli *cli, const char *path, const char *member, const CallArgs *args, json_t **ret);
/* One call of the CA of this name, as ca_path() has it. 0 or an exit code, told. */
int ca_call(Cli *cli, const char *name, const char *member, const CallArgs *args, json_t **ret);
/* The certificate of this name, serial or fingerprint, in an array. 0 or an exit code, told. */
int ca_find(Cli *cli, const char *which, json_t **ret);

/* Adds the option as a number where its text is there. False after having told a usage error. */
bool ca_add_number(Cli *cli, CallArgs *args, const char *option, const char *text, uint64_t min, uint64_t max);

/* Appends the bytes of a member that the answer has as base64. 0 or an HfResult or -errno, not told. */
int ca_take_bytes(const json_t *object, const char *member, Buffer *ret);
/* The chain of a certificate as ca_find() gives it. 0 or an exit code, told. */
int ca_take_chain(Cli *cli, const json_t *certificate, CertChain **ret);
/* Appends a file of those that the CA publishes ("ca.pem"). 0 or an exit code, told. */
int ca_read_published(Cli *cli, const char *file, size_t limit, Buffer *ret);
/* The key of the chain's first certificate as it is described, or NULL where it is not in this Holdfast, or not for the caller to
 * see. 0 or an exit code, told. */
int ca_find_key(Cli *cli, const CertChain *chain, bool retired, json_t **ret);
/* Appends the reference of the key of the chain's first certificate; nothing where that key is not in this Holdfast, or not for
 * the caller to see. 0 or an exit code, told. */
int ca_reference(Cli *cli, const CertChain *chain, Buffer *ret);

/* ca renew WHICH --rekey: the new certificate, in an array. 0 or an exit code, told. */
int ca_rekey(Cli *cli, const char *which, json_t **ret);
/* ca crl put FILE; ca crl list */
int ca_crl_run(Cli *cli);
/* ca ocsp REQUEST --signer NAME */
int ca_ocsp_run(Cli *cli);
/* ca package WHICH DIR */
int ca_package_run(Cli *cli);
/* ca diagnose NAME --connect HOST[:PORT] */
int ca_diagnose_run(Cli *cli);
