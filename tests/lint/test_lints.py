#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each lint must be able to fail: violations planted in a temporary tree are found, and what is allowed is not."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
APACHE = '/* SPDX-License-Identifier: Apache-2.0 */\n'
DUAL = '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n'


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix='weir-lint-')
        self.addCleanup(shutil.rmtree, self.root)

    def plant(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)

    def lint(self, name, *arguments):
        run = subprocess.run([sys.executable, os.path.join(HERE, name + '.py'), '--root', self.root, *arguments],
                             capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr

    def finds(self, name, *words):
        code, said = self.lint(name)
        self.assertEqual(code, 1, said)
        for word in words:
            self.assertIn(word, said)

    def passes(self, name):
        code, said = self.lint(name)
        self.assertEqual(code, 0, said)


class Includes(Planted):
    def bad(self, path, include, *words):
        self.plant(path, f'{APACHE}#include {include}\n')
        self.finds('includes', f'{path}:2:', *words)

    def good(self, path, include):
        self.plant(path, f'{APACHE}#include {include}\n')
        self.passes('includes')

    def test_a_room_below_may_not_look_up(self):
        self.bad('proxy/http/x.c', '"core/txn.h"', 'room http')

    def test_pure_rooms_may_not_use_sys(self):
        self.bad('proxy/conf/x.c', '"sys/files.h"', 'room conf')

    def test_route_sees_the_head_and_not_the_codec(self):
        self.good('proxy/route/x.c', '"http/head.h"')
        self.bad('proxy/route/x.c', '"http/codec.h"', 'room route')

    def test_base_is_for_everybody(self):
        self.good('proxy/lb/x.c', '"base/mem.h"')

    def test_only_io_sees_libuv(self):
        self.good('proxy/io/x.c', '<uv.h>')
        self.bad('proxy/core/x.c', '<uv.h>', 'belongs to io')

    def test_only_kern_sees_libbpf_and_the_skeleton(self):
        self.bad('proxy/node/x.c', '<bpf/libbpf.h>', 'belongs to kern')
        self.bad('proxy/node/x.c', '"weir.skel.h"', 'only kern')

    def test_pure_rooms_have_no_door_to_the_outside(self):
        self.bad('proxy/lb/x.c', '<time.h>', 'pure room lb')
        self.bad('proxy/lb/x.c', '<sys/socket.h>', 'pure room lb')

    def test_the_request_path_of_core_sees_streams_only(self):
        self.good('proxy/core/txn.c', '"io/stream.h"')
        self.good('proxy/core/process.c', '"io/loop.h"')
        self.bad('proxy/core/txn.c', '"io/loop.h"', 'core sees io through')

    def test_internal_headers_stay_in_their_room(self):
        self.good('proxy/http/x.c', '"http/h2_internal.h"')
        self.bad('proxy/core/process.c', '"http/h2_internal.h"', 'internal')

    def test_an_unknown_room_is_refused(self):
        self.bad('proxy/misc/x.c', '"conf/model.h"', 'not in the table')

    def test_the_kernel_side_sees_the_abi_only(self):
        self.good('bpf/x.bpf.c', '"weir/abi/maps.h"')
        self.good('bpf/x.bpf.c', '<bpf/bpf_helpers.h>')
        self.bad('bpf/x.bpf.c', '"base/err.h"')
        self.bad('bpf/x.bpf.c', '<stdio.h>')
        self.bad('include/weir/abi/x.h', '"lib/addr.bpf.h"')

    def test_the_own_header_comes_first(self):
        self.plant('proxy/lb/y.h', APACHE)
        self.plant('proxy/lb/y.c', APACHE + '#include "base/err.h"\n#include "lb/y.h"\n')
        self.finds('includes', 'proxy/lb/y.c:2:', 'first include')

    def test_a_commented_include_is_none(self):
        self.plant('proxy/lb/x.c', APACHE + '/*\n#include <uv.h>\n*/\n')
        self.passes('includes')


class Sizes(Planted):
    def c(self, text, path='proxy/lb/x.c'):
        self.plant(path, APACHE + text)

    def function(self, lines, comment=''):
        return comment + 'static int f(int a) {\n' + '    a++;\n' * lines + '}\n'

    def test_a_long_file(self):
        self.c('int x;\n' * 600)
        self.finds('sizes', 'proxy/lb/x.c:1:', '601 lines')

    def test_a_long_header(self):
        self.c('int f(void);\n' * 150, 'proxy/lb/x.h')
        self.finds('sizes', '151 lines, more than 150')

    def test_a_long_function(self):
        self.c(self.function(78))
        self.passes('sizes')
        self.c(self.function(79))
        self.finds('sizes', 'proxy/lb/x.c:2:', 'f has 81 lines')

    def test_an_exception_needs_a_reason(self):
        self.c(self.function(90, '/* lint: size one table of transitions */\n'))
        self.passes('sizes')
        self.c(self.function(90, '/* lint: size */\n'))
        self.finds('sizes', 'f has 92 lines')

    def test_an_exception_is_for_one_function_only(self):
        self.c(self.function(90, '/* lint: size why */\n') + '\n\n\n' + self.function(90).replace('int f', 'int g'))
        self.finds('sizes', 'g has 92 lines', '1 breach')

    def test_blank_lines_and_comments_are_free(self):
        self.c('int f(int a) {\n' + '    /* why\n     * and why */\n\n    a++;\n' * 70 + '}\n')
        self.passes('sizes')

    def test_braces_in_strings_do_not_confuse(self):
        self.c('int f(void) {\n    g("}{{{", \'{\'); /* { */\n}\n' + self.function(90).replace('int f', 'int g'))
        self.finds('sizes', 'g has 92 lines', '1 breach')

    def test_six_parameters(self):
        self.c('int f(int a, int b, int c, int (*d)(int, int), int e);\n')
        self.passes('sizes')
        self.c('int f(int a, int b,\n      int c, int d, int e, int g);\n')
        self.finds('sizes', 'f has 6 parameters')

    def test_a_format_and_its_arguments_count_once(self):
        self.c('int f(int a, int b, int c, int d, const char *fmt, ...);\n')
        self.passes('sizes')
        self.c('int f(int a, int b, int c, int d, int e, const char *fmt, ...);\n')
        self.finds('sizes', 'f has 6 parameters')

    def test_a_librarys_callback_may_have_more(self):
        self.c('static int f(SSL *ssl, int b, int c, int d, int e, void *arg) {\n    return 0;\n}\n')
        self.passes('sizes')

    def test_deep_nesting(self):
        def nested(n):
            return 'void f(int a) {\n' + 'if (a) {\n' * n + 'a++;\n' + '}\n' * n + '}\n'
        self.c(nested(3))
        self.passes('sizes')
        self.c(nested(4))
        self.finds('sizes', 'f nests 4 deep')

    def test_a_large_vtable(self):
        self.c('struct weir_x_ops {\n' + ''.join(f'    void (*f{i})(int a);\n' for i in range(9)) + '};\n')
        self.finds('sizes', 'weir_x_ops has 9 functions')

    def test_a_long_kernel_program(self):
        self.plant('bpf/x.bpf.c', DUAL + 'SEC("cgroup/connect4")\nint weir_x(void *ctx) {\n' + '    g();\n' * 30 + '}\n')
        self.finds('sizes', 'weir_x has 33 lines, more than 30')

    def test_tables_and_types_are_no_functions(self):
        self.c('static const int t[] = {\n' + '    1,\n' * 200 + '};\n' + 'struct s {\n' + '    int a;\n' * 100 + '};\n')
        self.passes('sizes')


class Attacks(Planted):
    def plant_all(self, document):
        self.plant('docs/attacks.md', '| attack | weir | tests |\n' + document)
        self.plant('tests/e2e/attacks.py', 'H1 = {\n    "CL one": 1,\n    "CL two": 2,\n}\nother = {"no row": 1}\n')
        self.plant('tests/unit/x.c', 'static void it_holds(void **state) {\n}\n')

    def test_a_test_that_does_not_exist(self):
        self.plant_all('| a | b | `e2e/attacks.py: H1/CL *` `unit/x.c: it_fails` |\n')
        self.finds('attacks', 'docs/attacks.md:2:', 'tests/unit/x.c has no "it_fails"')

    def test_a_file_that_does_not_exist(self):
        self.plant_all('| a | b | `e2e/attacks.py: H1/CL *` `unit/y.c: it_holds` |\n')
        self.finds('attacks', 'there is no tests/unit/y.c')

    def test_a_row_that_nobody_names(self):
        self.plant_all('| a | b | `e2e/attacks.py: H1/CL one` |\n')
        self.finds('attacks', 'tests/e2e/attacks.py:3:', '"H1/CL two" is missing')

    def test_an_attack_without_a_test(self):
        self.plant_all('| a | b | `e2e/attacks.py: H1/CL *` |\n| c | d | soon |\n')
        self.finds('attacks', 'docs/attacks.md:3:', 'an attack without a test')

    def test_good_ones(self):
        self.plant_all('| a | b | `e2e/attacks.py: H1/CL *` `unit/x.c: it_holds` |\n')
        self.passes('attacks')


class Spdx(Planted):
    def test_a_missing_header(self):
        self.plant('proxy/lb/x.c', 'int x;\n')
        self.finds('spdx', 'proxy/lb/x.c:1:', 'no SPDX')

    def test_the_wrong_licence_for_the_place(self):
        self.plant('bpf/x.bpf.c', APACHE)
        self.finds('spdx', 'should be "GPL-2.0-only OR BSD-2-Clause"')

    def test_the_kernels_licence_in_user_space(self):
        self.plant('proxy/lb/x.c', DUAL)
        self.finds('spdx', 'should be "Apache-2.0"')

    def test_a_script_without_a_suffix(self):
        self.plant('tools/run', '#!/bin/sh\necho\n')
        self.finds('spdx', 'tools/run:1:')

    def test_good_ones(self):
        self.plant('proxy/lb/x.c', APACHE)
        self.plant('bpf/x.bpf.c', DUAL)
        self.plant('tools/x.sh', '#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n')
        self.plant('README', 'no source\n')
        self.passes('spdx')


class Purity(Planted):
    ROOMS = ('base', 'http', 'conf', 'route', 'lb', 'tls', 'obs', 'sys')

    def build(self, **sources):
        """A build directory with a library per room; what is not given is empty. A name may be room or room__file."""
        objects = {room: [] for room in self.ROOMS}
        for name, text in sources.items():
            room, _, file = name.partition('__')
            stem = os.path.join(self.root, 'proxy', file or name)
            self.plant(f'proxy/{file or name}.c', text)
            subprocess.run(['cc', '-O1', '-fPIC', '-D_GNU_SOURCE', '-c', stem + '.c', '-o', stem + '.c.o'], check=True)
            objects[room].append(stem + '.c.o')
        os.makedirs(os.path.join(self.root, 'proxy'), exist_ok=True)
        for room, members in objects.items():
            subprocess.run(['ar', 'rcs', os.path.join(self.root, 'proxy', f'libweir-{room}.a'), *members], check=True)

    def good(self, **sources):
        self.build(**sources)
        code, said = self.lint('purity', self.root)
        self.assertEqual(code, 0, said)

    def bad(self, *words, **sources):
        self.build(**sources)
        code, said = self.lint('purity', self.root)
        self.assertEqual(code, 1, said)
        for word in words:
            self.assertIn(word, said)

    def test_computing_is_pure(self):
        self.good(lb='#include <string.h>\nint weir_x(const char *s) { return strcmp(s, "x"); }')

    def test_a_socket(self):
        self.bad('references socket', http='int socket(int, int, int); int weir_x(void) { return socket(1, 2, 3); }')

    def test_a_clock(self):
        self.bad('references clock_gettime',
                 lb='#include <time.h>\nint weir_x(struct timespec *t) { return clock_gettime(0, t); }')

    def test_a_thread(self):
        self.bad('references pthread_mutex_lock',
                 obs='#include <pthread.h>\nint weir_x(pthread_mutex_t *m) { return pthread_mutex_lock(m); }')

    def test_a_file(self):
        self.bad('references fopen', conf='#include <stdio.h>\nvoid *weir_x(void) { return fopen("x", "r"); }')

    def test_printing(self):
        self.bad('references', conf='#include <stdio.h>\nvoid weir_x(int n) { fprintf(stderr, "%d", n); }')

    def test_libuv(self):
        self.bad('references uv_now', route='long uv_now(void *); long weir_x(void *l) { return uv_now(l); }')

    def test_a_librarys_file_functions(self):
        self.good(conf='int json_loads(const char *); int weir_x(void) { return json_loads(""); }')
        self.bad('references json_load_file',
                 conf='int json_load_file(const char *); int weir_x(void) { return json_load_file(""); }')

    def test_the_heap_behind_the_back_of_base(self):
        source = '#include <stdlib.h>\nvoid *weir_x(void) { return malloc(7); }'
        self.good(base=source)
        self.bad('references malloc', lb=source)

    def test_a_detour_through_sys(self):
        self.bad('references weir_clock_mono_us of sys',
                 sys='long weir_clock_mono_us(void) { return 1; }',
                 lb='long weir_clock_mono_us(void); long weir_x(void) { return weir_clock_mono_us(); }')

    def test_tls_engine_is_pure_and_its_context_need_not_be(self):
        source = '#include <time.h>\nint weir_x(void) { return (int)time(0); }'
        self.good(tls__ctx=source)
        self.bad('references time', tls__engine=source)

    def test_a_writable_global(self):
        self.bad('writable global counter', sys='static int counter; int weir_x(void) { return ++counter; }')
        self.bad('writable global where', lb='int where = 3; int weir_x(void) { return where; }')

    def test_constants_with_pointers_are_not_writable(self):
        self.good(lb='static const char *const t[] = { "a", "b" }; const char *weir_x(int i) { return t[i]; }')

    def test_an_incomplete_build_is_not_a_pass(self):
        os.makedirs(os.path.join(self.root, 'proxy'))
        code, said = self.lint('purity', self.root)
        self.assertEqual(code, 1, said)
        self.assertIn('no library of', said)


class Loops(Planted):
    def program(self, *lines):
        self.plant('x.s', '.text\n.globl weir_x\nweir_x:\n' + '\n'.join(lines) + '\nexit\n')
        obj = os.path.join(self.root, 'x.o')
        subprocess.run(['clang', '-target', 'bpf', '-c', obj[:-1] + 's', '-o', obj], check=True)
        run = subprocess.run([sys.executable, os.path.join(HERE, 'loops.py'), obj], capture_output=True, text=True)
        return run.returncode, run.stdout

    def test_a_loop_whose_end_lies_before_its_head(self):
        code, said = self.program('r0 = 0', 'goto LBB0_2', 'LBB0_1:', 'r0 += 1', 'LBB0_2:', 'if r0 < 9 goto LBB0_1')
        self.assertEqual(code, 1, said)
        self.assertIn('weir_x: insn 2: "r0 += 1" falls back', said)

    def test_a_loop_that_jumps_back(self):
        code, said = self.program('r0 = 0', 'LBB0_1:', 'r0 += 1', 'if r0 < 9 goto LBB0_1')
        self.assertEqual(code, 0, said)


if __name__ == '__main__':
    unittest.main()
