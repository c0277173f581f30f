#include "model.h"

#include <algorithm>
#include <array>

#include "log2.h"

namespace freebits {
namespace {

constexpr uint32_t kEscapeValueBits = 4;  // what an escape's value costs on real exponents, roughly

struct Entries {
    uint8_t symbol[kMaxSymbols];
    uint32_t count[kMaxSymbols];
    int size = 0;
    void add(uint8_t s, uint32_t c) {
        symbol[size] = s;
        count[size++] = c;
    }
};

/// Bytes worth an entry: an entry of 1/256 takes 0.0056 bit from every other symbol and saves the escape's value, which
/// breaks even near a probability of 1/512. At most 63, the most frequent ones; ascending.
Entries choose_entries(const Histogram& h, bool sampled) {
    std::array<uint8_t, 256> order;
    int distinct = 0;
    for (int s = h.first; s <= h.last; ++s)
        if (h.count[s]) order[distinct++] = static_cast<uint8_t>(s);
    std::sort(order.begin(), order.begin() + distinct,
              [&](uint8_t a, uint8_t b) { return h.count[a] != h.count[b] ? h.count[a] > h.count[b] : a < b; });
    const auto worth = [&](uint8_t s) { return static_cast<uint64_t>(h.count[s]) * 512 >= h.total; };
    int kept = 0;
    while (kept < distinct && kept < kMaxSymbols - 1 && worth(order[kept])) ++kept;
    if (!sampled && kept == distinct - 1) ++kept;  // one byte alone costs no more as an entry than as an escape
    std::sort(order.begin(), order.begin() + kept);
    Entries entries;
    uint32_t covered = 0;
    for (int i = 0; i < kept; ++i) {
        entries.add(order[i], h.count[order[i]]);
        covered += h.count[order[i]];
    }
    return entries;
}

/// Frequencies that minimise sum(count * -log2 freq): one slot each, the share rounded down, then slot by slot to or
/// from where it matters most. Greedy is optimal because the cost is convex in every frequency.
void allocate(const Entries& e, uint32_t total, uint32_t* freq) {
    int sum = 0;
    for (int i = 0; i < e.size; ++i) {
        const uint64_t share = static_cast<uint64_t>(e.count[i]) * kSlots / std::max(total, 1u);
        freq[i] = static_cast<uint32_t>(std::clamp<uint64_t>(share, 1, kSlots - 1));
        sum += static_cast<int>(freq[i]);
    }
    const auto step_value = [&](int i, uint32_t lower) {  // what the slot between lower and lower + 1 is worth
        return static_cast<uint64_t>(e.count[i]) * (kLog2[lower + 1] - kLog2[lower]);
    };
    for (; sum < kSlots; ++sum) {
        int best = 0;
        for (int i = 1; i < e.size; ++i)
            if (step_value(i, freq[i]) > step_value(best, freq[best])) best = i;
        ++freq[best];
    }
    for (; sum > kSlots; --sum) {
        int best = -1;
        for (int i = 0; i < e.size; ++i)
            if (freq[i] > 1 && (best < 0 || step_value(i, freq[i] - 1) < step_value(best, freq[best] - 1))) best = i;
        --freq[best];
    }
}

/// Fill the look-up tables from symbol[], freq[], entry_count and has_escape.
void index_model(RansModel& m) {
    const int escape_rank = m.has_escape ? m.entry_count - 1 : 0;
    std::fill_n(m.rank_of_symbol, 256, static_cast<uint8_t>(escape_rank));
    std::array<bool, 256> taken{};
    uint32_t start = 0;
    for (int i = 0; i < m.entry_count; ++i) {
        m.start[i] = static_cast<uint8_t>(start);
        m.reciprocal[i] = static_cast<uint16_t>(std::min(65536u / m.freq[i], 65535u));
        std::fill_n(m.rank_of_slot + start, m.freq[i], static_cast<uint8_t>(i));
        start += m.freq[i];
        if (m.has_escape && i == escape_rank) continue;
        m.rank_of_symbol[m.symbol[i]] = static_cast<uint8_t>(i);
        taken[m.symbol[i]] = true;
    }
    m.escape_byte = static_cast<uint8_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
    if (m.has_escape) m.symbol[escape_rank] = m.escape_byte;
    for (int i = m.entry_count; i < kMaxSymbols; ++i) {
        m.symbol[i] = m.freq[i] = m.start[i] = 0;
        m.reciprocal[i] = 0;
    }
}

}  // namespace

RansModel build_model(const Histogram& histogram, bool sampled) {
    Entries entries = choose_entries(histogram, sampled);
    uint32_t covered = 0;
    for (int i = 0; i < entries.size; ++i) covered += entries.count[i];
    RansModel m{};
    m.has_escape = sampled || covered < histogram.total;
    if (m.has_escape) entries.add(0, std::max(histogram.total - covered, 1u));
    m.entry_count = entries.size;
    uint32_t freq[kMaxSymbols];
    allocate(entries, std::max(histogram.total, covered + 1), freq);
    for (int i = 0; i < entries.size; ++i) {
        m.symbol[i] = entries.symbol[i];
        m.freq[i] = static_cast<uint8_t>(freq[i]);
    }
    index_model(m);
    return m;
}

uint64_t model_cost_q16(const RansModel& model, const Histogram& histogram) {
    uint64_t sum = 0;
    for (int s = histogram.first; s <= histogram.last; ++s) {
        const int rank = model.rank_of_symbol[s];
        const bool escaped = model.has_escape && rank == model.entry_count - 1;
        const uint32_t bits = (kProbBits << 16) - kLog2[model.freq[rank]] + (escaped ? kEscapeValueBits << 16 : 0);
        sum += static_cast<uint64_t>(histogram.count[s]) * bits;
    }
    return sum;
}

void write_model(const RansModel& m, ByteWriter& out) {
    const int symbols = m.entry_count - m.has_escape;
    const uint8_t first = m.symbol[0], last = m.symbol[symbols - 1];
    out.u8(m.has_escape);
    out.u8(first);
    out.u8(last);
    uint8_t* bitmap = out.skip(static_cast<size_t>(last - first) / 8 + 1);
    std::memset(bitmap, 0, static_cast<size_t>(out.at() - bitmap));
    for (int i = 0; i < symbols; ++i) {
        const int bit = m.symbol[i] - first;
        bitmap[bit / 8] = static_cast<uint8_t>(bitmap[bit / 8] | 1 << bit % 8);
    }
    out.bytes(m.freq, static_cast<size_t>(m.entry_count));
}

Status read_model(ByteReader& in, RansModel& m) {
    uint8_t has_escape, first, last;
    if (!in.u8(has_escape) || !in.u8(first) || !in.u8(last)) return {Fault::kTruncated};
    if (has_escape > 1) return {Fault::kModel, has_escape, 1};
    if (last < first) return {Fault::kModel, last, first};
    const size_t bitmap_nbytes = static_cast<size_t>(last - first) / 8 + 1;
    const uint8_t* bitmap = in.take(bitmap_nbytes);
    if (!bitmap) return {Fault::kTruncated};
    m = RansModel{};
    m.has_escape = has_escape;
    for (int bit = 0; bit < static_cast<int>(8 * bitmap_nbytes); ++bit) {
        if (!(bitmap[bit / 8] >> bit % 8 & 1)) continue;
        if (bit > last - first || m.entry_count == kMaxSymbols - has_escape)
            return {Fault::kModel, static_cast<uint64_t>(bit), static_cast<uint64_t>(last - first)};
        m.symbol[m.entry_count++] = static_cast<uint8_t>(first + bit);
    }
    m.entry_count += has_escape;
    const uint8_t* freq = in.take(static_cast<size_t>(m.entry_count));
    if (!freq) return {Fault::kTruncated};
    uint32_t sum = 0;
    for (int i = 0; i < m.entry_count; ++i) {
        if (!freq[i]) return {Fault::kModel, 0, 1};
        m.freq[i] = freq[i];
        sum += freq[i];
    }
    if (sum != kSlots) return {Fault::kModel, sum, kSlots};
    index_model(m);
    return {};
}

}  // namespace freebits
