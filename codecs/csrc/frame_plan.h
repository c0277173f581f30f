// What a frame's planes are coded with, by a sample of its elements.
#pragma once

#include "frame.h"
#include "model_plan.h"

namespace freebits {

inline constexpr uint32_t kEightBits = 8u << 16;
inline constexpr uint32_t kNoiseEntropy = kEightBits - (kEightBits >> 6);  // above 7.875 bits a byte is noise

struct PlanePlan {
    PlaneCodec codec = PlaneCodec::kRaw;
    uint32_t entropy_q16 = 0;  // of what was looked at, in 1/65536 bits per byte
    PlaneModels models;
};

struct FramePlan {
    PlanePlan plane[kMaxPlanes];
};

/// Plans for all planes. Leaves the sample in w.sample; returns how many elements were looked at.
size_t plan_frame(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort, FrameWorkspace& w,
                  FramePlan& plan);

}  // namespace freebits
