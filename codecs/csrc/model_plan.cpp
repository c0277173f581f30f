#include "model_plan.h"

#include <algorithm>

namespace freebits {
namespace {

constexpr uint64_t kNewModelBits = 320;  // about 30 bytes of model, and the noise of a sampled histogram
constexpr uint64_t kSwitchBits = 16;
constexpr size_t kCandidates = 8;                // models a unit may return to; more cost planning time
constexpr uint16_t kAbsentBits_q8 = 12 << 8;  // an escape and its value

/// Units that share a model so far, and what each byte would cost under it.
struct Cluster {
    Histogram counts;
    uint16_t bits_q8[256];

    explicit Cluster(const Histogram& unit) : counts(unit) { price(); }
    void adopt(const Histogram& unit) {
        for (int s = 0; s < 256; ++s) counts.count[s] += unit.count[s];
        counts.total += unit.total;
        price();
    }
    uint64_t cost_q8(const Histogram& unit) const {
        uint64_t sum = 0;
        for (int s = 0; s < 256; ++s) sum += static_cast<uint64_t>(unit.count[s]) * bits_q8[s];
        return sum;
    }

private:
    void price() {
        const uint32_t whole = rough_log2_q16(counts.total);
        for (int s = 0; s < 256; ++s)
            bits_q8[s] = counts.count[s] ? static_cast<uint16_t>((whole - rough_log2_q16(counts.count[s])) >> 8)
                                         : kAbsentBits_q8;
    }
};

class Dealer {
public:
    explicit Dealer(uint64_t numel, uint64_t counted) : numel_(numel), counted_(std::max<uint64_t>(counted, 1)) {}

    /// The cluster that the unit joins, a new one if none fits.
    size_t deal(const Histogram& unit) {
        if (clusters.empty()) return open(unit);
        const uint64_t own = Cluster(unit).cost_q8(unit);
        const uint64_t staying = excess(clusters[current_], unit, own);
        if (staying <= kSwitchBits) return join(current_, unit);
        size_t best = current_;
        uint64_t best_bits = staying;
        for (size_t c = 0; c < std::min(clusters.size(), kCandidates); ++c) {
            if (c == current_) continue;
            const uint64_t bits = excess(clusters[c], unit, own) + kSwitchBits;
            if (bits < best_bits) best = c, best_bits = bits;
        }
        return best_bits > kNewModelBits && clusters.size() < kMaxModels ? open(unit) : join(best, unit);
    }

    std::vector<Cluster> clusters;

private:
    /// Bits the unit costs more under the cluster's model than under one of its own, all its elements reckoned.
    uint64_t excess(const Cluster& cluster, const Histogram& unit, uint64_t own_q8) const {
        const uint64_t cost = cluster.cost_q8(unit);
        return cost <= own_q8 ? 0 : (cost - own_q8) * numel_ / counted_ >> 8;
    }
    size_t open(const Histogram& unit) {
        clusters.emplace_back(unit);
        return current_ = clusters.size() - 1;
    }
    size_t join(size_t cluster, const Histogram& unit) {
        clusters[cluster].adopt(unit);
        return current_ = cluster;
    }
    uint64_t numel_, counted_;
    size_t current_ = 0;
};

uint64_t counted_elements(const std::vector<Histogram>& units) {
    uint64_t sum = 0;
    for (const Histogram& unit : units) sum += unit.total;
    return sum;
}

}  // namespace

PlaneModels plan_models(const std::vector<Histogram>& units, size_t numel, bool sampled) {
    Dealer dealer(numel, counted_elements(units));
    PlaneModels plan;
    const size_t tiles = (numel + kTile - 1) / kTile, per_unit = unit_tiles(numel);
    for (size_t u = 0; u < units.size(); ++u) {
        const uint8_t model = static_cast<uint8_t>(dealer.deal(units[u]));
        const uint32_t count = static_cast<uint32_t>(std::min(per_unit, tiles - u * per_unit));
        if (!plan.segments.empty() && plan.segments.back().model == model)
            plan.segments.back().tile_count += count;
        else
            plan.segments.push_back({count, model});
    }
    for (const Cluster& cluster : dealer.clusters)
        plan.models.push_back(build_model(cluster.counts, sampled || cluster.counts.distinct() == 1));
    return plan;
}

uint64_t models_cost_nbytes(const PlaneModels& plan, const std::vector<Histogram>& units, size_t numel) {
    const uint64_t counted = std::max<uint64_t>(counted_elements(units), 1);
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
