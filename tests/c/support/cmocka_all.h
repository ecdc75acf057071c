/* cmocka wants these before it. */
#ifndef COFFER_TESTS_SUPPORT_CMOCKA_ALL_H
#define COFFER_TESTS_SUPPORT_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
