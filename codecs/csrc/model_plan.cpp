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
    uint64_t weighted;  // sum of x log2(x) over the counts
    uint32_t units = 1;
    size_t model = 0;
};

uint64_t weighted(const Histogram& h) {
    uint64_t sum = 0;
    for (int s = h.first; s <= h.last; ++s) sum += x_log2_q16(h.count[s]);
    return sum;
}

/// What became of two parts counted together.
struct Union {
    uint64_t weighted = 0;
    uint64_t excess_bits = 0;  // that one model for both costs more than two, of what was counted

    Union(const Part& x, const Part& y) {
        const Histogram &a = *x.counts, &b = *y.counts;
        for (int s = std::min(a.first, b.first); s <= std::max(a.last, b.last); ++s)
            weighted += x_log2_q16(a.count[s] + b.count[s]);
        const uint64_t together = x_log2_q16(a.total + b.total) + x.weighted + y.weighted;
        const uint64_t apart = x_log2_q16(a.total) + x_log2_q16(b.total) + weighted;
        if (together > apart) excess_bits = (together - apart) >> 16;
    }
};

/// Merge the neighbours that differ least, again and again, while one model costs less than two: small differences that
/// last over many units survive, noise of single units does not.
void merge_neighbours(std::vector<Part>& parts, uint64_t limit) {
    const auto united_behind = [&](size_t i) { return Union(parts[i], parts[i + 1]); };
    const auto less = [](const Union& a, const Union& b) { return a.excess_bits < b.excess_bits; };
    std::vector<Union> united;
    united.reserve(parts.size());
    for (size_t i = 0; i + 1 < parts.size(); ++i) united.push_back(united_behind(i));
    while (!united.empty()) {
        const auto least = std::min_element(united.begin(), united.end(), less);
        if (least->excess_bits > limit) return;
        const size_t i = static_cast<size_t>(least - united.begin());
        parts[i].counts->add(*parts[i + 1].counts);
        parts[i].weighted = least->weighted;
        parts[i].units += parts[i + 1].units;
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
        united.erase(least);
        if (i < united.size()) united[i] = united_behind(i);
        if (i > 0) united[i - 1] = united_behind(i - 1);
    }
}

/// Give every part a model, an earlier part's where it fits. Returns what each model has to code.
std::vector<Histogram*> assign_models(std::vector<Part>& parts, uint64_t limit) {
    std::vector<Part> models;
    for (Part& part : parts) {
        uint64_t best = UINT64_MAX, weighted = 0;
        for (size_t m = 0; m < models.size(); ++m) {
            const Union united(models[m], part);
            if (united.excess_bits < best) best = united.excess_bits, weighted = united.weighted, part.model = m;
        }
        if (best > limit) {
            part.model = models.size();
            models.push_back(part);
        } else {
            models[part.model].counts->add(*part.counts);
            models[part.model].weighted = weighted;
        }
    }
    std::vector<Histogram*> counts;
    for (const Part& model : models) counts.push_back(model.counts);
    return counts;
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
    parts.reserve(units.size());
    for (Histogram& unit : units) parts.push_back({&unit, weighted(unit)});
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
    plan.models.reserve(models.size());
    for (const Histogram* counts : models) {
        plan.models.push_back(build_model(*counts, sampled || counts->first == counts->last));
        bits += model_cost_q16(plan.models.back(), *counts) >> 16;
    }
    plan.nbytes = bits * numel / counted / 8 + plan.models.size() * 24 + plan.segments.size() * 2;
    return plan;
}

}  // namespace freebits
