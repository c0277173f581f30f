#include "frame_plan.h"

#include <algorithm>

namespace freebits {
namespace {

constexpr size_t kSampleRun = 256;           // elements taken in a row
constexpr size_t kExactLimit = 1 << 16;      // up to this many elements everything is counted
constexpr size_t kRawSampleDivisor = 4;      // planes that are expected to be noise are judged by fewer

struct PlanePointers {
    uint8_t* at[kMaxPlanes];
    PlanePointers(uint8_t* base, size_t stride, int count) {
        for (int p = 0; p < count; ++p) at[p] = base + static_cast<size_t>(p) * stride;
    }
};

/// The hardware does not follow jumps by itself.
void prefetch(const uint8_t* data, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i += 64) __builtin_prefetch(data + i);
}

/// The planes of a sample of the elements (all of them when there are few), side by side in w.sample, and where in it
/// each unit of the model plan ends. Returns the number of elements taken.
size_t sample_planes(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, FrameWorkspace& w) {
    const LayoutFacts& f = facts(layout);
    const size_t item = static_cast<size_t>(f.item_nbytes), unit = unit_tiles(numel) * kTile;
    const size_t units = (numel + unit - 1) / unit;
    const size_t wanted = numel <= kExactLimit ? unit : std::min(unit, f.sample_elements / units);
    const size_t runs = std::max<size_t>(1, wanted / kSampleRun);
    w.unit_ends.clear();
    w.sample_stride = units * runs * kSampleRun;
    uint8_t* sample = w.sample.grow(w.sample_stride * static_cast<size_t>(f.plane_count));
    PlanePointers planes(sample, w.sample_stride, f.plane_count);
    size_t taken = 0;
    for (size_t first = 0; first < numel; first += unit) {
        const size_t n = std::min(unit, numel - first), step = std::max(kSampleRun, n / runs);
        for (size_t at = 0, r = 0; at < n && r < runs; at += step, ++r) {
            const size_t count = std::min(kSampleRun, n - at);
            const size_t ahead = std::min(first + at + 4 * step, numel - count);
            prefetch(in + ahead * item, count * item);
            kernels.split[static_cast<int>(layout)](in + (first + at) * item, count, planes.at);
            for (int p = 0; p < f.plane_count; ++p) planes.at[p] += count;
            taken += count;
        }
        w.unit_ends.push_back(taken);
    }
    return taken;
}

/// Every run's head: enough to see whether a plane is noise.
uint32_t entropy_at_a_glance(const Kernels& kernels, const uint8_t* plane, size_t n) {
    const size_t part = n <= kSampleRun * kRawSampleDivisor ? n : kSampleRun / kRawSampleDivisor;
    Histogram h;
    for (size_t i = 0; i + part <= n; i += std::max(part, kSampleRun)) kernels.count(plane + i, part, h);
    return h.entropy_q16();
}

void count_units(const Kernels& kernels, const uint8_t* plane, const std::vector<size_t>& ends,
                 std::vector<Histogram>& units) {
    units.resize(ends.size());
    for (Histogram& unit : units) unit.clear();
    size_t first = 0;
    for (size_t u = 0; u < ends.size(); first = ends[u++]) kernels.count(plane + first, ends[u] - first, units[u]);
}

uint32_t entropy_of(const std::vector<Histogram>& units) {
    Histogram sum;
    for (const Histogram& unit : units) sum.add(unit);
    return sum.entropy_q16();
}

bool all_one_byte(const std::vector<Histogram>& units) {
    return std::all_of(units.begin(), units.end(),
                       [&](const Histogram& h) { return h.first == units[0].first && h.last == h.first; });
}

PlanePlan plan_plane(const Kernels& kernels, const uint8_t* plane, size_t taken, size_t numel, bool exponent,
                     FrameWorkspace& w) {
    PlanePlan plan;
    if (!exponent) plan.entropy_q16 = entropy_at_a_glance(kernels, plane, taken);
    if (plan.entropy_q16 > kNoiseEntropy) return plan;
    count_units(kernels, plane, w.unit_ends, w.units);
    if (exponent) plan.entropy_q16 = entropy_of(w.units);
    const bool sampled = taken < numel;
    plan.codec = all_one_byte(w.units) ? PlaneCodec::kConstant : PlaneCodec::kRans;
    if (plan.codec == PlaneCodec::kConstant && !sampled) return plan;
    plan.models = plan_models(w.units, numel, sampled);  // a constant's, too: the rest may turn out to differ
    const uint64_t payload = plan.models.nbytes +
                             static_cast<uint64_t>(stream_count_for(numel)) * sizeof(RansStream::state);
    if (payload >= numel && plan.codec == PlaneCodec::kRans) plan.codec = PlaneCodec::kRaw;
    return plan;
}

/// What the plan becomes with an effort. Adaptive coding needs no models, so that it is tried where rANS gave up, too.
PlaneCodec codec_for(const PlanePlan& plan, size_t numel, Effort effort, FrameWorkspace& w) {
    if (plan.codec == PlaneCodec::kConstant) return plan.codec;
    if (effort == Effort::kSplitOnly) return PlaneCodec::kRaw;
    if (effort != Effort::kAdaptive || numel > w.adaptive_left || plan.entropy_q16 > kNoiseEntropy) return plan.codec;
    w.adaptive_left -= numel;
    return PlaneCodec::kAdaptive;
}

}  // namespace

size_t plan_frame(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort,
                  FrameWorkspace& w, FramePlan& plan) {
    const LayoutFacts& f = facts(layout);
    const size_t taken = sample_planes(kernels, layout, in, numel, w);
    for (int p = 0; p < f.plane_count; ++p) {
        const uint8_t* plane = w.sample.data() + static_cast<size_t>(p) * w.sample_stride;
        plan.plane[p] = plan_plane(kernels, plane, taken, numel, p < f.exponent_planes, w);
        plan.plane[p].codec = codec_for(plan.plane[p], numel, effort, w);
    }
    return taken;
}

}  // namespace freebits
