#include "model_plan.h"

#include <algorithm>

namespace freebits {
namespace {

constexpr uint64_t kModelBits = 256;  // a model and the segment that brings it
constexpr uint64_t kNoiseBits = 40;   // by which two samples of one distribution look different, times the sampling rate

/// What a model has to code, and the range of bytes that occur in it.
struct Counts {
    Histogram counts;
    int first = 0, last = 255;

    explicit Counts(const Histogram& h) : counts(h) {
        while (first < last && !counts.count[first]) ++first;
        while (last > first && !counts.count[last]) --last;
    }
    void add(const Counts& other) {
        first = std::min(first, other.first);
        last = std::max(last, other.last);
        for (int s = other.first; s <= other.last; ++s) counts.count[s] += other.counts.count[s];
        counts.total += other.counts.total;
    }
};

/// Consecutive units that share a model so far.
struct Part : Counts {
    uint32_t units = 1;
    size_t model = 0;
    explicit Part(const Histogram& unit) : Counts(unit) {}
};

/// x log2 x in 1/65536.
uint64_t x_log_x(uint32_t x) { return x ? static_cast<uint64_t>(x) * fast_log2_q16(x) : 0; }

/// Bits of what was counted that one model for both costs more than two; only bytes both have matter.
uint64_t excess_bits(const Counts& left, const Counts& right) {
    const Histogram &a = left.counts, &b = right.counts;
    uint64_t together = x_log_x(a.total + b.total), apart = x_log_x(a.total) + x_log_x(b.total);
    for (int s = std::max(left.first, right.first); s <= std::min(left.last, right.last); ++s) {
        if (!a.count[s] || !b.count[s]) continue;
        apart += x_log_x(a.count[s] + b.count[s]);
        together += x_log_x(a.count[s]) + x_log_x(b.count[s]);
    }
    return together > apart ? (together - apart) >> 16 : 0;
}

/// Merge the neighbours that differ least, again and again, while one model costs less than two: small differences that
/// last over many units survive, noise of single units does not.
void merge_neighbours(std::vector<Part>& parts, uint64_t limit) {
    std::vector<uint64_t> excess;
    for (size_t i = 0; i + 1 < parts.size(); ++i) excess.push_back(excess_bits(parts[i], parts[i + 1]));
    while (!excess.empty()) {
        const size_t i = static_cast<size_t>(std::min_element(excess.begin(), excess.end()) - excess.begin());
        if (excess[i] > limit) return;
        parts[i].add(parts[i + 1]);
        parts[i].units += parts[i + 1].units;
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
        excess.erase(excess.begin() + static_cast<ptrdiff_t>(i));
        if (i < excess.size()) excess[i] = excess_bits(parts[i], parts[i + 1]);
        if (i > 0) excess[i - 1] = excess_bits(parts[i - 1], parts[i]);
    }
}

/// Give every part a model, an earlier part's where it fits. Returns what each model has to code.
std::vector<Counts> assign_models(std::vector<Part>& parts, uint64_t limit) {
    std::vector<Counts> models;
    for (Part& part : parts) {
        uint64_t best = UINT64_MAX;
        for (size_t m = 0; m < models.size(); ++m) {
            const uint64_t excess = excess_bits(models[m], part);
            if (excess < best) best = excess, part.model = m;
        }
        if (best > limit) {
            part.model = models.size();
            models.push_back(part);
        } else {
            models[part.model].add(part);
        }
    }
    return models;
}

uint64_t counted_elements(const std::vector<Histogram>& units) {
    uint64_t sum = 0;
    for (const Histogram& unit : units) sum += unit.total;
    return std::max<uint64_t>(sum, 1);
}

}  // namespace

PlaneModels plan_models(const std::vector<Histogram>& units, size_t numel, bool sampled) {
    const uint64_t limit = kModelBits * counted_elements(units) / numel + kNoiseBits;
    std::vector<Part> parts;
    for (const Histogram& unit : units) parts.emplace_back(unit);
    merge_neighbours(parts, limit);
    const std::vector<Counts> models = assign_models(parts, limit);
    PlaneModels plan;
    size_t tiles = (numel + kTile - 1) / kTile;
    for (const Part& part : parts) {
        const size_t count = std::min(part.units * unit_tiles(numel), tiles);
        plan.segments.push_back({static_cast<uint32_t>(count), static_cast<uint8_t>(part.model)});
        tiles -= count;
    }
    for (const Counts& m : models) plan.models.push_back(build_model(m.counts, sampled || m.first == m.last));
    return plan;
}

uint64_t models_cost_nbytes(const PlaneModels& plan, const std::vector<Histogram>& units, size_t numel) {
    const uint64_t counted = counted_elements(units);
    const size_t per_unit = unit_tiles(numel);
    uint64_t bits_q16 = 0;
    size_t segment = 0, tiles_left = plan.segments.empty() ? 0 : plan.segments[0].tile_count;
    for (const Histogram& unit : units) {
        if (!tiles_left) tiles_left = plan.segments[++segment].tile_count;
        bits_q16 += static_cast<uint64_t>(model_cost_q16(plan.models[plan.segments[segment].model], unit)) * unit.total;
        tiles_left -= std::min(tiles_left, per_unit);
    }
    return (bits_q16 >> 16) * numel / counted / 8 + plan.models.size() * 24 + plan.segments.size() * 2;
}

}  // namespace freebits
