/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/rsa-check.h"

#include <openssl/bn.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/fetched.h"

typedef struct Numbers {
        BN_CTX *ctx;
        BIGNUM *v[RSA_PARTS], *p1, *q1, *t;
} Numbers;

static void numbers_deinit(Numbers *n)
{
        for (RsaPart i = 0; i < RSA_PARTS; i++)
                BN_clear_free(n->v[i]);
        BN_clear_free(n->p1);
        BN_clear_free(n->q1);
        BN_clear_free(n->t);
        BN_CTX_free(n->ctx);
}

static int numbers_init(Numbers *n, const Bytes parts[static RSA_PARTS])
{
        bool ok = true;

        *n = (Numbers){.ctx = BN_CTX_new(), .p1 = BN_new(), .q1 = BN_new(), .t = BN_new()};
        for (RsaPart i = 0; i < RSA_PARTS; i++) {
                n->v[i] = BN_bin2bn(parts[i].data, (int)parts[i].len, NULL);
                ok = ok && n->v[i];
        }
        ok = ok && n->ctx && n->p1 && n->q1 && n->t;
        ok = ok && BN_sub(n->p1, n->v[RSA_P], BN_value_one()) && BN_sub(n->q1, n->v[RSA_Q], BN_value_one());
        return ok ? 0 : -ENOMEM;
}

/* 1 < value < modulus, and value * by = 1 (mod modulus). */
static bool is_inverse(Numbers *n, const BIGNUM *value, const BIGNUM *by, const BIGNUM *modulus)
{
        if (BN_cmp(value, BN_value_one()) <= 0 || BN_cmp(value, modulus) >= 0)
                return false;
        return BN_mod_mul(n->t, value, by, modulus, n->ctx) && BN_is_one(n->t);
}

static bool is_whole(Numbers *n)
{
        const BIGNUM *p = n->v[RSA_P], *q = n->v[RSA_Q], *e = n->v[RSA_E], *d = n->v[RSA_D];

        if (!BN_is_odd(p) || !BN_is_odd(q) || BN_is_one(p) || BN_is_one(q) || BN_cmp(p, q) == 0)
                return false;
        if (!BN_mul(n->t, p, q, n->ctx) || BN_cmp(n->t, n->v[RSA_N]) != 0)
                return false;
        if (!is_inverse(n, n->v[RSA_DP], e, n->p1) || !is_inverse(n, n->v[RSA_DQ], e, n->q1))
                return false;
        /* qInv belongs to q mod p, whichever of the two is the larger. */
        if (BN_cmp(n->v[RSA_QINV], p) >= 0 || !BN_mod_mul(n->t, n->v[RSA_QINV], q, p, n->ctx) || !BN_is_one(n->t))
                return false;
        if (BN_cmp(d, n->v[RSA_N]) >= 0 || !BN_mod(n->t, d, n->p1, n->ctx) || BN_cmp(n->t, n->v[RSA_DP]) != 0)
                return false;
        return BN_mod(n->t, d, n->q1, n->ctx) && BN_cmp(n->t, n->v[RSA_DQ]) == 0;
}

int rsa_check_whole(const Bytes parts[static RSA_PARTS])
{
        _cleanup_(numbers_deinit) Numbers n;
        int r;

        r = numbers_init(&n, parts);
        if (r)
                return r;
        return is_whole(&n) ? 0 : openssl_failed(HF_E_INVALID_ARGS);
}

static bool primes_are_close(Numbers *n)
{
        int half = BN_num_bits(n->v[RSA_N]) / 2;

        if (BN_num_bits(n->v[RSA_P]) != half || BN_num_bits(n->v[RSA_Q]) != half)
                return true; /* of unequal size: one of them is too small */
        if (!BN_sub(n->t, n->v[RSA_P], n->v[RSA_Q]))
                return true;
        return BN_num_bits(n->t) <= half - 100;
}

/*
 * ROCA: the primes are k * M + (65537^a mod M) with M a product of small primes, so n modulo each of those is a power
 * of 65537. By chance that is so for one key in 2^27 with the primes below. (Nemec et al., The Return of
 * Coppersmith's Attack, CCS 2017, section 3.2.1.)
 */
static bool is_power_of_65537(unsigned long value, unsigned long prime)
{
        unsigned long x = 1;

        do {
                if (x == value)
                        return true;
                x = x * (65537 % prime) % prime;
        } while (x != 1);
        return false;
}

static bool has_roca_mark(const BIGNUM *n)
{
        static const unsigned char primes[] = {3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67,
                71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

        for (size_t i = 0; i < ELEMENTSOF(primes); i++)
                if (!is_power_of_65537(BN_mod_word(n, primes[i]), primes[i]))
                        return false;
        return true;
}

int rsa_check_strong(const Bytes parts[static RSA_PARTS])
{
        _cleanup_(numbers_deinit) Numbers n;
        int r;

        r = numbers_init(&n, parts);
        if (r)
                return r;
        if (primes_are_close(&n) || has_roca_mark(n.v[RSA_N]))
                return HF_E_WEAK_KEY;
        if (BN_check_prime(n.v[RSA_P], n.ctx, NULL) != 1 || BN_check_prime(n.v[RSA_Q], n.ctx, NULL) != 1)
                return openssl_failed(HF_E_INVALID_ARGS);
        return 0;
}

#define SMALL_FACTOR_MAX 2000
#define FERMAT_STEPS 100

typedef struct Fermat {
        BN_CTX *ctx;
        BIGNUM *n, *a, *b, *root, *t;
} Fermat;

static void fermat_deinit(Fermat *f)
{
        BN_free(f->n);
        BN_free(f->a);
        BN_free(f->b);
        BN_free(f->root);
        BN_free(f->t);
        BN_CTX_free(f->ctx);
}

static bool has_small_factor(const BIGNUM *n)
{
        for (BN_ULONG p = 3; p < SMALL_FACTOR_MAX; p += 2)
                if (BN_mod_word(n, p) == 0)
                        return true;
        return false;
}

/* The integer part of the square root, by Newton's method from above. */
static bool square_root(Fermat *f, const BIGNUM *of, BIGNUM *ret)
{
        if (!BN_one(ret) || !BN_lshift(ret, ret, (BN_num_bits(of) + 1) / 2))
                return false;
        for (;;) {
                if (!BN_div(f->t, NULL, of, ret, f->ctx) || !BN_add(f->t, f->t, ret) || !BN_rshift1(f->t, f->t))
                        return false;
                if (BN_cmp(f->t, ret) >= 0)
                        return true;
                if (!BN_copy(ret, f->t))
                        return false;
        }
}

/* Squares leave one of these remainders modulo 64: four numbers in five need no root. */
static bool may_be_square(const BIGNUM *v)
{
        return 1ULL << BN_mod_word(v, 64) & 0x0202021202030213ULL;
}

/* -ENOMEM, or 1: n = (a - b)(a + b) was found, 0: not in so few steps. */
static int falls_apart(Fermat *f)
{
        if (!square_root(f, f->n, f->a))
                return -ENOMEM;
        for (int i = 0; i < FERMAT_STEPS; i++) {
                if (!BN_add_word(f->a, 1) || !BN_sqr(f->b, f->a, f->ctx) || !BN_sub(f->b, f->b, f->n))
                        return -ENOMEM;
                if (!may_be_square(f->b))
                        continue;
                if (!square_root(f, f->b, f->root) || !BN_sqr(f->t, f->root, f->ctx))
                        return -ENOMEM;
                if (BN_cmp(f->t, f->b) == 0)
                        return 1;
        }
        return 0;
}

int rsa_check_modulus(Bytes n)
{
        _cleanup_(fermat_deinit) Fermat f = {.ctx = BN_CTX_new(), .n = BN_bin2bn(n.data, (int)n.len, NULL), .a = BN_new(),
                        .b = BN_new(), .root = BN_new(), .t = BN_new()};
        int r;

        if (!f.ctx || !f.n || !f.a || !f.b || !f.root || !f.t)
                return -ENOMEM;
        if (!BN_is_odd(f.n) || has_small_factor(f.n) || has_roca_mark(f.n))
                return HF_E_WEAK_KEY;
        r = falls_apart(&f);
        return r > 0 ? HF_E_WEAK_KEY : r;
}
