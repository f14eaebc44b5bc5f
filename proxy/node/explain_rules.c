/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that a decision went through, with whom each speaks of, for `explain`. */
#include "node/explain_rules.h"

#include <stdio.h>
#include <string.h>

#include "node/state.h"

#define SHOWN_NAMES 4u

void weir_agent_explain_comma(struct weir_textbuf *out) {
    if (out->len > 0 && out->ptr[out->len - 1] == '}')
        weir_textbuf_add(out, ",", 1);
}

struct peers {
    const struct weir_agent *a;
    uint32_t set, cidr, n;
    char text[512];
};

static void peers_add(struct peers *p, const char *text, size_t len) {
    size_t used = strlen(p->text);

    if (p->n++ < SHOWN_NAMES)
        snprintf(p->text + used, sizeof(p->text) - used, "%s%.*s", used ? ", " : "", (int)len,
                 text);
}

static int note_identity(void *arg, const void *key, const void *value) {
    const struct weir_idset_key *k = key;
    struct peers *p = arg;
    const char *name;

    (void)value;
    if (k->set != p->set)
        return 0;
    if (k->identity & WEIR_DNS_MEMBER)
        name = weir_plan_name(p->a->installed, WEIR_NAME_DNS, k->identity & ~WEIR_DNS_MEMBER);
    else
        name = weir_plan_name(p->a->installed, WEIR_NAME_IDENTITY, k->identity);
    peers_add(p, name, strcspn(name, "#"));
    return 0;
}

static int note_prefix(void *arg, const void *key, const void *value) {
    const struct weir_cidr_key *k = key;
    struct peers *p = arg;
    struct weir_ip ip;
    char buf[64], text[96];
    unsigned prefix = k->prefix - 32;

    if (k->set != p->cidr)
        return 0;
    memcpy(&ip, &k->addr, sizeof(ip));
    if (weir_addr_is_v4(&k->addr) && prefix >= 96)
        prefix -= 96;
    snprintf(text, sizeof(text), "%s%s/%u",
             ((const struct weir_cidr_value *)value)->verdict == WEIR_CIDR_OUT ? "except " : "",
             weir_ip_format(&ip, buf, sizeof(buf)), prefix);
    peers_add(p, text, strlen(text));
    return 0;
}

static void put_list(struct weir_textbuf *out, const char *key, struct peers *p, bool wanted) {
    size_t used = strlen(p->text);

    if (p->n > SHOWN_NAMES)
        snprintf(p->text + used, sizeof(p->text) - used, ", and %u more", p->n - SHOWN_NAMES);
    if (wanted)
        weir_textbuf_member(out, key, p->n ? p->text : "nobody");
}

static void put_peers(const struct weir_agent *a, struct weir_textbuf *out,
                      const struct weir_rule_item *rule) {
    struct peers p = { .a = a, .set = rule->set, .cidr = rule->cidr };

    if (rule->peer == WEIR_PEER_ANY) {
        weir_textbuf_member(out, "peer", "anybody");
        return;
    }
    if (rule->peer & (WEIR_PEER_IDENTITY | WEIR_PEER_NOT_IDENTITY | WEIR_PEER_NAME))
        (void)weir_mapset_each(a->installed, WEIR_MAP_IDSET, note_identity, &p);
    put_list(out, rule->peer & WEIR_PEER_NOT_IDENTITY ? "peer_not" : "peer", &p,
             rule->peer & (WEIR_PEER_IDENTITY | WEIR_PEER_NOT_IDENTITY | WEIR_PEER_NAME));
    p.n = 0;
    p.text[0] = '\0';
    if (rule->peer & WEIR_PEER_CIDR)
        (void)weir_mapset_each(a->installed, WEIR_MAP_CIDR, note_prefix, &p);
    put_list(out, rule->peer == WEIR_PEER_CIDR ? "peer" : "address", &p,
             rule->peer & WEIR_PEER_CIDR);
}

static void put_rule(const struct weir_agent *a, struct weir_textbuf *out,
                     const struct weir_rule_item *rule, uint32_t number, bool decides) {
    char ports[32] = "any";

    if (rule->port_lo != 0 || rule->port_hi != 65535)
        snprintf(ports, sizeof(ports), "%u-%u", rule->port_lo, rule->port_hi);
    weir_agent_explain_comma(out);
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_number(out, "rule", number);
    weir_textbuf_member(out, "policy",
                        weir_plan_name(a->installed, WEIR_NAME_POLICY, rule->policy));
    weir_textbuf_member(out, "action",
                        rule->flags & WEIR_RULE_NOTE      ? "audit"
                        : !(rule->flags & WEIR_RULE_DENY) ? "allow"
                                                          : "deny");
    if (rule->flags & WEIR_RULE_AUDIT)
        weir_textbuf_bool(out, "audit_mode", true);
    if (rule->flags & WEIR_RULE_PROXY)
        weir_textbuf_bool(out, "decided_by_sidecar", true);
    weir_textbuf_member(out, "protocol",
                        rule->proto == 0                  ? "any"
                        : rule->proto == WEIR_IPPROTO_TCP ? "tcp"
                                                          : "udp");
    weir_textbuf_member(out, "ports", ports);
    put_peers(a, out, rule);
    weir_textbuf_bool(out, "decides", decides);
    weir_textbuf_add(out, "}", 1);
}

/* Along the chain up to the rule that decided; all of them when none did. */
void weir_agent_explain_rules(const struct weir_agent *a, struct weir_textbuf *out,
                              const struct weir_explain *x) {
    struct weir_rule_block block;
    uint32_t id = x->slot.block, before = 0;

    weir_textbuf_name(out, "rules");
    weir_textbuf_add(out, "[", 1);
    for (uint32_t n = 0; id != 0 && n < WEIR_BLOCK_CHAIN; n++) {
        if (weir_kern_get(a->kern, WEIR_MAP_RULE, &id, &block))
            break;
        for (uint32_t i = 0; i < block.count && i < WEIR_BLOCK_RULES; i++) {
            uint32_t number = before + i + 1;

            if (x->rule != 0 && number > x->rule)
                break;
            put_rule(a, out, &block.rules[i], number, number == x->rule);
        }
        before += WEIR_BLOCK_RULES;
        id = x->rule != 0 && before >= x->rule ? 0 : block.next;
    }
    weir_textbuf_add(out, "]", 1);
}
