// Joins, splits and copies that a coder does step by step between its groups. A step is 64 elements or some lines, and what
// it takes an instruction set for comes from there. Without linkage: each including file is compiled with its own instruction set.
#pragma once

#include <algorithm>
#include <cstring>

#include "crc32c.h"
#include "planes_loops.h"

namespace freebits {
namespace {

inline constexpr size_t kStepElements = 64;

struct NothingBeside {
    template <class Pending>
    explicit NothingBeside(Pending&) {}
    static bool more() { return false; }
    static void step() {}
};

/// A join of BF16 in whole output lines: Step::join(e, s, line) writes two of them.
template <class Step>
class Bf16Lines {
public:
    explicit Bf16Lines(PendingJoin& pending) : pending_(pending) {
        const size_t misaligned = -reinterpret_cast<uintptr_t>(pending.out) % 64;
        const size_t head = misaligned % 2 ? pending.numel : std::min(misaligned / 2, pending.numel);  // odd: no lines
        join_bf16(pending.planes, head, pending.out);
        e_ = pending.planes[0] + head;
        s_ = pending.planes[1] + head;
        line_ = pending.out + 2 * head;
        left_ = pending.numel - head;
    }
    /// What was done is no longer pending.
    ~Bf16Lines() {
        pending_.planes[0] = e_;
        pending_.planes[1] = s_;
        pending_.out = line_;
        pending_.numel = left_;
    }
    Bf16Lines(const Bf16Lines&) = delete;
    Bf16Lines& operator=(const Bf16Lines&) = delete;

    bool more() const { return left_ >= kStepElements; }
    void step() {
        __builtin_prefetch(s_ + kAhead);
        Step::join(e_, s_, line_);
        e_ += kStepElements;
        s_ += kStepElements;
        line_ += 2 * kStepElements;
        left_ -= kStepElements;
    }

private:
    static constexpr size_t kAhead = 2048;
    PendingJoin& pending_;
    const uint8_t *e_, *s_;
    uint8_t* line_;
    size_t left_;
};

/// A split of BF16: Step() holds what step.split(in, e, s) needs in registers.
template <class Step>
class Bf16Split {
public:
    explicit Bf16Split(PendingSplit& pending)
        : pending_(pending), in_(pending.in), e_(pending.planes[0]), s_(pending.planes[1]), left_(pending.numel) {}
    /// What was done is no longer pending.
    ~Bf16Split() {
        pending_.in = in_;
        pending_.planes[0] = e_;
        pending_.planes[1] = s_;
        pending_.numel = left_;
    }
    Bf16Split(const Bf16Split&) = delete;
    Bf16Split& operator=(const Bf16Split&) = delete;

    bool more() const { return left_ >= kStepElements; }
    void step() {
        for (size_t line = 0; line < 2; ++line) __builtin_prefetch(in_ - kBehind + 64 * line, 0, kToSecondCache);
        step_.split(in_, e_, s_);
        in_ += 2 * kStepElements;
        e_ += kStepElements;
        s_ += kStepElements;
        left_ -= kStepElements;
    }

private:
    static constexpr size_t kBehind = 2 * kTile;  // encoders take the tile before next
    static constexpr int kToSecondCache = 2;
    PendingSplit& pending_;
    const uint8_t* in_;
    uint8_t *e_, *s_;
    size_t left_;
    const Step step_{};
};

/// A copy in whole lines around the cache, whose CRC comes with it: step.begin(from, to, crc) and step.next(from, to) do two
/// of them, step.crc() tells the CRC so far.
template <class Step>
class LinesPastCache {
public:
    explicit LinesPastCache(PendingCopy& pending)
        : pending_(pending), from_(pending.from), to_(pending.to), left_(pending.nbytes) {
        if (const size_t head = std::min(-reinterpret_cast<uintptr_t>(to_) % kLine, left_)) {
            std::memcpy(to_, from_, head);
            pending.crc = crc32c_sse42(pending.crc, from_, head);
            move_on(head);
        }
        if (!more()) return;
        step_.begin(from_, to_, pending.crc);
        move_on(kStep);
        begun_ = true;
    }
    /// What was done is no longer pending.
    ~LinesPastCache() { pending_ = {from_, to_, left_, begun_ ? step_.crc() : pending_.crc}; }
    LinesPastCache(const LinesPastCache&) = delete;
    LinesPastCache& operator=(const LinesPastCache&) = delete;

    bool more() const { return left_ >= kStep; }
    void step() {
        step_.next(from_, to_);
        move_on(kStep);
    }

private:
    static constexpr size_t kLine = 64, kStep = 2 * kLine;
    void move_on(size_t nbytes) {
        from_ += nbytes;
        to_ += nbytes;
        left_ -= nbytes;
    }
    PendingCopy& pending_;
    const uint8_t* from_;
    uint8_t* to_;
    size_t left_;
    bool begun_ = false;
    Step step_;
};

template <class Beside, class Pending>
void do_steps(Pending& pending) {
    for (Beside beside(pending); beside.more();) beside.step();
}

/// code.operator()<Beside>() with what goes beside it: the pending join, where it can be done in steps.
template <template <bool> class JoinStep, class Code>
auto with_join_beside(const PendingJoin& pending, const Code& code) {
    if (pending.layout != Layout::kBf16 || !pending.numel) return code.template operator()<NothingBeside>();
    return pending.past_cache ? code.template operator()<Bf16Lines<JoinStep<true>>>()
                              : code.template operator()<Bf16Lines<JoinStep<false>>>();
}

/// The same with the pending split.
template <class SplitStep, class Code>
void with_split_beside(const PendingSplit& pending, const Code& code) {
    if (pending.layout == Layout::kBf16) return code.template operator()<Bf16Split<SplitStep>>();
    code.template operator()<NothingBeside>();
}

/// The pending join in whole lines; all of it where `kernels` has no steps for its layout.
template <template <bool> class JoinStep>
void join_lines_by(const Kernels& kernels, PendingJoin& pending) {
    if (pending.layout == Layout::kBf16)
        return pending.past_cache ? do_steps<Bf16Lines<JoinStep<true>>>(pending)
                                  : do_steps<Bf16Lines<JoinStep<false>>>(pending);
    kernels.join[static_cast<int>(pending.layout)](pending.planes, pending.numel, pending.out);
    pending.numel = 0;
}

}  // namespace
}  // namespace freebits
