/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir install: prints the manifests of deploy/, which are part of this program, with namespace and image put in; for sidecar mode
 * the webhook as well, with a certificate made for it here and now. It touches no cluster: `weir install | kubectl apply -f -`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/radix.h"
#include "base/slice.h"
#include "cli/verb.h"
#include "conf/syntax.h"
#include "sys/clock.h"
#include "tls/ca.h"
#include "tls/digest.h"
#include "weir_config.h"

#define LIFETIME_S                                                                                 \
    (10 * 365 * 86400LL) /* of the webhook's certificate: as long as it is installed */

/* tools/embed.py: namespace, crds, rbac, agent, webhook, signer. */
extern const char *const weir_deploy[];
enum { WEBHOOK = 4, SIGNER = 5 };

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "mode", 0, "sidecar|node|kernel",
      "how pods are to be meshed (default sidecar): with sidecar, the webhook is printed as well" },
    { "signer", 0, NULL,
      "certificates from weir signer, whose CA is the Secret weir-ca (docs/identity.md)" },
    { "namespace", 'n', "NAME", "where weir itself runs (default weir-system)" },
    { "image", 0, "NAME", "of agent, helper and sidecar (default " WEIR_DEFAULT_IMAGE ")" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_install = {
    .name = "install",
    .words = "",
    .summary = "print the manifests that put weir into a cluster",
    .more = "weir install | kubectl apply -f -        puts it in\n"
            "weir install | kubectl delete -f -       takes it out; on each node weir agent "
            "--uninstall proves that\n"
            "                                         nothing is left\n"
            "Each call makes a new certificate for the webhook: apply what one call printed, "
            "whole. Nothing is meshed by\n"
            "this: namespaces, workloads and Pods ask for it with weir.dev/mode.\n",
    .options = options,
    .run = run,
};

struct put {
    const char *from, *to;
};

/* Prints text with each `from` replaced. */
static void print(const char *text, const struct put *puts) {
    while (*text) {
        const struct put *p = puts;

        while (p->from && strncmp(text, p->from, strlen(p->from)) != 0)
            p++;
        if (p->from) {
            fputs(p->to, stdout);
            text += strlen(p->from);
        } else {
            putchar(*text++);
        }
    }
}

/* A CA that signs this one certificate and is then forgotten. 0, -ENOMEM, WEIR_CA_REFUSED. */
static int certify(const char *ns, struct weir_pem *ret_ca, struct weir_pem *ret_leaf,
                   const char **ret_why) {
    int64_t now = (int64_t)(weir_clock_wall_us() / 1000000);
    char id[320], names[3][160];
    const char *dns[3] = { names[0], names[1], names[2] };
    struct weir_ca_request request = {
        .spiffe_id = id, .dns_names = dns, .n_dns_names = 3, .now = now, .lifetime = LIFETIME_S
    };
    int r = weir_ca_new("weir-webhook", now, LIFETIME_S, ret_ca, ret_why);

    if (r)
        return r;
    snprintf(id, sizeof(id), "spiffe://weir-webhook/ns/%s/sa/weir-webhook", ns);
    snprintf(names[0], sizeof(names[0]), "weir-webhook.%s.svc", ns);
    snprintf(names[1], sizeof(names[1]), "weir-webhook.%s", ns);
    snprintf(names[2], sizeof(names[2]), "weir-webhook.%s.svc.cluster.local", ns);
    request.ca_cert = weir_slice_from_str(ret_ca->cert);
    request.ca_key = weir_slice_from_str(ret_ca->key);
    return weir_ca_issue(&request, ret_leaf, ret_why);
}

/* The certificate's SHA-256, in hexadecimal. 0 or -ENOMEM. */
static int fingerprint(const struct weir_pem *leaf, char ret_hex[2 * WEIR_SHA256_BYTES + 1]) {
    uint8_t digest[WEIR_SHA256_BYTES];
    int r = weir_sha256(leaf->cert, strlen(leaf->cert), digest);

    for (size_t i = 0; r == 0 && i < sizeof(digest); i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
    return r;
}

static int webhook(struct weir_args *args, const char *ns, const char *image) {
    struct weir_pem ca = { 0 }, leaf = { 0 };
    char digest[2 * WEIR_SHA256_BYTES + 1];
    const char *why = "out of memory";
    int r = certify(ns, &ca, &leaf, &why);
    char *texts[3] = { NULL, NULL, NULL };

    if (r == 0)
        r = fingerprint(&leaf, digest);
    if (r == 0) {
        texts[0] = weir_base64_text(ca.cert, strlen(ca.cert));
        texts[1] = weir_base64_text(leaf.cert, strlen(leaf.cert));
        texts[2] = weir_base64_text(leaf.key, strlen(leaf.key));
    }
    if (texts[0] && texts[1] && texts[2]) {
        const struct put puts[] = { { "weir-system", ns }, { "weir:latest", image },
                                    { "@CA@", texts[0] },  { "@CERT@", texts[1] },
                                    { "@KEY@", texts[2] }, { "@DIGEST@", digest },
                                    { NULL, NULL } };

        fputs("---\n", stdout);
        print(weir_deploy[WEBHOOK], puts);
    } else {
        r = weir_failed(args, "the webhook's certificate: %s", why);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++)
        weir_free(texts[i]);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
    return r;
}

/* Of an image reference: what cannot end the YAML word it stands in. */
static bool is_image(const char *image) {
    return image[0] &&
           strspn(image, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") ==
               strlen(image);
}

static int run(struct weir_args *args) {
    const char *mode = weir_args_value(args, "mode"), *ns = weir_args_value(args, "namespace"),
               *image = weir_args_value(args, "image");
    bool signer = weir_args_has(args, "signer");
    int r = WEIR_EXIT_OK;

    mode = mode ? mode : "sidecar";
    ns = ns ? ns : "weir-system";
    image = image ? image : WEIR_DEFAULT_IMAGE;
    /* Without a signer the list ends before the agent's part of it: flags, and the volume with whom to trust. */
    const struct put puts[] = {
        { "weir-system", ns },
        { "weir:latest", image },
        { signer ? "        - --metrics=:15020\n" : NULL,
          "        - --metrics=:15020\n        - --signer=weir.dev/mesh\n"
          "        - --trust-bundle=/etc/weir/trust/ca.crt\n" },
        { "        - {name: bpffs, mountPath: /sys/fs/bpf}\n",
          "        - {name: bpffs, mountPath: /sys/fs/bpf}\n"
          "        - {name: trust, mountPath: /etc/weir/trust, readOnly: true}\n" },
        { "      - name: bpffs\n", "      - name: trust\n        configMap: {name: "
                                   "weir-trust-bundle, optional: true}\n      - name: bpffs\n" },
        { NULL, NULL },
    };
    if (strcmp(mode, "sidecar") != 0 && strcmp(mode, "node") != 0 && strcmp(mode, "kernel") != 0)
        return weir_usage(args, "--mode %s: sidecar, node or kernel", mode);
    if (!weir_is_dns_label(ns))
        return weir_usage(args, "--namespace %s: not the name of a namespace", ns);
    if (!is_image(image))
        return weir_usage(args, "--image %s: not the name of an image", image);
    for (int i = 0; i < WEBHOOK; i++) {
        if (i > 0)
            fputs("---\n", stdout);
        print(weir_deploy[i], puts);
    }
    if (signer) {
        fputs("---\n", stdout);
        print(weir_deploy[SIGNER], puts);
    }
    if (strcmp(mode, "sidecar") == 0)
        r = webhook(args, ns, image);
    if (fflush(stdout) != 0)
        return weir_failed(args, "standard output: %s", strerror(errno));
    return r;
}
