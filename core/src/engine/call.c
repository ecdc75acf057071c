#include "call.h"

#include "base/alloc.h"
#include "waiter.h"

#include <stdio.h>

static bool is_script(const coffer_call *call) {
    return call->command->script_sha1 != NULL;
}

void coffer__call_init(coffer_call *call, const coffer__command *command) {
    call->command = command;
    call->status = COFFER_OK;
    call->script_sent = call->routed = call->asking = call->chosen = call->awaits_map = call->pinned = call->settled = call->handed_out =
        call->anywhere = call->fell_back = false;
    call->endpoint = NULL;
    call->not_before_ms = 0;
    call->tries = call->redirects = 0;
    call->tried = 0;
    call->number_count = 0;
    call->arguments = call->few;
    call->argument_count = 0;
    call->argument_cap = COFFER__CALL_ARGUMENTS;
    atomic_init(&call->state, COFFER__CALL_OPEN);
    if (is_script(call)) {
        coffer__call_argument(call, COFFER_SLICE("EVALSHA"));
        coffer__call_argument(call, coffer_slice_text(command->script_sha1));
        coffer__call_argument(call, COFFER_SLICE("1"));
    } else {
        coffer__call_argument(call, coffer_slice_text(command->name));
    }
}

void coffer__call_reset(coffer_call *call) {
    if (coffer__call_is(call, COFFER__CALL_SENT)) {
        coffer__conn_forget(call->conn, call);
    }
    coffer_waiter_free(call->waiter);
    call->waiter = NULL;
    if (call->arguments != call->few) {
        coffer__release(call->arguments);
        call->arguments = call->few;
    }
    if (call->detail != NULL) {
        coffer__release(call->detail);
        call->detail = NULL;
    }
    coffer__reply_clear(&call->reply);
}

void coffer__call_clear(coffer_call *call) {
    coffer__call_reset(call);
    coffer__reply_free(&call->reply);
}

static bool grow_arguments(coffer_call *call, size_t count) {
    size_t cap = call->argument_cap * 2;
    cap = cap < call->argument_count + count ? call->argument_count + count : cap;
    bool inside = call->arguments == call->few;
    coffer_slice *more = (coffer_slice *)coffer__resize(inside ? NULL : call->arguments, cap * sizeof *more);
    if (more == NULL) {
        return false;
    }
    if (inside) {
        memcpy(more, call->few, sizeof call->few);
    }
    call->arguments = more;
    call->argument_cap = cap;
    return true;
}

bool coffer__call_argument(coffer_call *call, coffer_slice argument) {
    if (call->argument_count == call->argument_cap && !grow_arguments(call, 1)) {
        return false;
    }
    call->arguments[call->argument_count++] = argument;
    return true;
}

bool coffer__call_arguments(coffer_call *call, const coffer_slice *arguments, size_t count) {
    if (count > call->argument_cap - call->argument_count && !grow_arguments(call, count)) {
        return false;
    }
    memcpy(call->arguments + call->argument_count, arguments, count * sizeof *arguments);
    call->argument_count += count;
    return true;
}

bool coffer__call_number(coffer_call *call, uint64_t number) {
    char *text = call->numbers[call->number_count++];
    snprintf(text, sizeof call->numbers[0], "%llu", (unsigned long long)number);
    return coffer__call_argument(call, coffer_slice_text(text));
}

/* A server's text may hold anything: control bytes become blanks, so that it cannot forge lines of a log. */
static void keep_detail(coffer_call *call, coffer_slice text) {
    size_t len = text.len < COFFER__WORDS_KEPT ? text.len : COFFER__WORDS_KEPT;
    coffer__release(call->detail);
    call->detail = (char *)coffer__alloc(len + 1);
    if (call->detail == NULL) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        call->detail[i] = (char)(byte < 0x20 || byte >= 0x7F ? ' ' : byte);
    }
    call->detail[len] = '\0';
}

static void become_done(coffer_call *call, coffer_status status) {
    call->status = status;
    atomic_store_explicit(&call->state, COFFER__CALL_DONE, memory_order_release);
}

static bool again_with_text(coffer_call *call) {
    if (!is_script(call) || call->script_sent) {
        return false;
    }
    call->script_sent = true;
    call->arguments[0] = COFFER_SLICE("EVAL");
    call->arguments[1] = coffer_slice_text(call->command->script_text);
    return true;
}

/* What a redirect means for the conn; one that cannot be read becomes PROTO. */
static coffer__verdict judge_redirect(const coffer_call *call, coffer_slice text, coffer_status *status) {
    coffer__redirect redirect;
    if (!call->routed || (*status != COFFER_MOVED && *status != COFFER_ASK)) {
        return COFFER__VERDICT_NONE;
    }
    if (!coffer__redirect_read(text, &redirect)) {
        *status = COFFER_PROTO;
        return COFFER__VERDICT_BROKEN;
    }
    bool to_itself = *status == COFFER_MOVED && coffer__redirect_is_to(&redirect, call->endpoint);
    return to_itself ? COFFER__VERDICT_LEAVE : COFFER__VERDICT_NONE;
}

coffer__verdict coffer__call_replied(coffer_call *call, coffer__reply *reply) {
    coffer__verdict verdict = COFFER__VERDICT_NONE;
    coffer_status status = COFFER_OK;
    if (reply->nodes[0].type == COFFER__REPLY_ERROR) {
        coffer_slice text = coffer__reply_text(reply, 0);
        status = coffer__word_status(text);
        if (status == COFFER_NOSCRIPT && again_with_text(call)) {
            return COFFER__VERDICT_REPEAT;
        }
        verdict = judge_redirect(call, text, &status);
        size_t known = is_script(call) ? 3 : 1; /* the command's name, or EVAL, a script and a count */
        keep_detail(call, coffer__words_kept(text, call->arguments + known, call->argument_count - known));
    }
    coffer__reply_swap(&call->reply, reply);
    become_done(call, status);
    return verdict;
}

void coffer__call_reopen(coffer_call *call, coffer_waiter *waiter) {
    if (call->waiter == NULL) {
        call->waiter = coffer__waiter_ref(waiter);
    }
    coffer__reply_clear(&call->reply);
    call->status = COFFER_OK;
    call->settled = call->handed_out = false;
    atomic_store_explicit(&call->state, COFFER__CALL_OPEN, memory_order_release);
}

void coffer__call_note(coffer_call *call, const char *detail) {
    keep_detail(call, coffer_slice_text(detail));
}

void coffer__call_end(coffer_call *call, coffer_status status, const char *detail) {
    if (detail != NULL) {
        keep_detail(call, coffer_slice_text(detail));
    }
    become_done(call, status);
}

void coffer_call_fail(coffer_call *call, coffer_status why, const char *detail) {
    if (coffer__call_is(call, COFFER__CALL_OPEN)) {
        coffer__call_end(call, why, detail);
    }
}
