/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signs standard input with the key named "device": cc sign.c $(pkg-config --cflags --libs libholdfast) */
#include <err.h>
#include <holdfast.h>
#include <stdio.h>

int main(void)
{
        static char message[HF_MESSAGE_LIMIT];
        size_t length = fread(message, 1, sizeof(message), stdin);
        HfSignature sig;
        int r = hf_sign_with("device", HF_ES256, message, length, &sig);

        if (r)
                errx(1, "%s (%s)", hf_error_sentence(), hf_error_to_name(r));
        return fwrite(sig.data, 1, sig.len, stdout) == sig.len ? 0 : 1;
}
