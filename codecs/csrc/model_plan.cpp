#include "model_plan.h"

#include <algorithm>

#include "log2.h"

namespace freebits {
namespace {

constexpr uint64_t kModelBits = 256;  // a model and the segment that brings it
constexpr uint64_t kNoiseBits = 40;   // by which two samples of one distribution look different, times the sampling rate

/// Consecutive units that share a model so far; the first one's histogram counts them all.
struct Part {
    Histogram* counts;
    uint32_t units = 1;
    size_t model = 0;
};

/// Bits of what was counted that one model for both costs more than two; only bytes both have matter.
uint64_t excess_bits(const Histogram& a, const Histogram& b) {
    uint64_t together = x_log2_q16(a.total + b.total), apart = x_log2_q16(a.total) + x_log2_q16(b.total);
    for (int s = std::max(a.first, b.first); s <= std::min(a.last, b.last); ++s) {
        if (!a.count[s] || !b.count[s]) continue;
        apart += x_log2_q16(a.count[s] + b.count[s]);
        together += x_log2_q16(a.count[s]) + x_log2_q16(b.count[s]);
    }
    return together > apart ? (together - apart) >> 16 : 0;
}

/// Merge the neighbours that differ least, again and again, while one model costs less than two: small differences that
/// last over many units survive, noise of single units does not.
void merge_neighbours(std::vector<Part>& parts, uint64_t limit) {
    const auto excess_behind = [&](size_t i) { return excess_bits(*parts[i].counts, *parts[i + 1].counts); };
    std::vector<uint64_t> excess;
    for (size_t i = 0; i + 1 < parts.size(); ++i) excess.push_back(excess_behind(i));
    while (!excess.empty()) {
        const size_t i = static_cast<size_t>(std::min_element(excess.begin(), excess.end()) - excess.begin());
        if (excess[i] > limit) return;
        parts[i].counts->add(*parts[i + 1].counts);
        parts[i].units += parts[i + 1].units;
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
        excess.erase(excess.begin() + static_cast<ptrdiff_t>(i));
        if (i < excess.size()) excess[i] = excess_behind(i);
        if (i > 0) excess[i - 1] = excess_behind(i - 1);
    }
}

/// Give every part a model, an earlier part's where it fits. Returns what each model has to code.
std::vector<Histogram*> assign_models(std::vector<Part>& parts, uint64_t limit) {
    std::vector<Histogram*> models;
    for (Part& part : parts) {
        uint64_t best = UINT64_MAX;
        for (size_t m = 0; m < models.size(); ++m) {
            const uint64_t excess = excess_bits(*models[m], *part.counts);
            if (excess < best) best = excess, part.model = m;
        }
        if (best > limit) {
            part.model = models.size();
            models.push_back(part.counts);
        } else {
            models[part.model]->add(*part.counts);
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

PlaneModels plan_models(std::vector<Histogram>& units, size_t numel, bool sampled) {
    const uint64_t counted = counted_elements(units), limit = kModelBits * counted / numel + kNoiseBits;
    std::vector<Part> parts;
    for (Histogram& unit : units) parts.push_back({&unit});
    merge_neighbours(parts, limit);
    const std::vector<Histogram*> models = assign_models(parts, limit);
    PlaneModels plan;
    size_t tiles = (numel + kTile - 1) / kTile;
    for (const Part& part : parts) {
        const size_t count = std::min(part.units * unit_tiles(numel), tiles);
        plan.segments.push_back({static_cast<uint32_t>(count), static_cast<uint8_t>(part.model)});
        tiles -= count;
    }
    uint64_t bits = 0;
    for (const Histogram* counts : models) {
        plan.models.push_back(build_model(*counts, sampled || counts->first == counts->last));
        bits += model_cost_q16(plan.models.back(), *counts) >> 16;
    }
    plan.nbytes = bits * numel / counted / 8 + plan.models.size() * 24 + plan.segments.size() * 2;
    return plan;
}

}  // namespace freebits
