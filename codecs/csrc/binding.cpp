// The only file that knows Python: checks arguments, drops the GIL, calls, and reports faults as facts.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>

#include "copy_past_cache.h"
#include "cpu.h"
#include "encode_job.h"
#include "first_touch.h"
#include "output_buffer.h"
#include "parallel.h"
#include "record.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace freebits {
namespace {

/// A readable or writable view of a Python object's memory, held while the GIL is released.
class BufferView {
public:
    BufferView(nb::handle object, int flags) {
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) < 0) throw nb::python_error();
    }
    ~BufferView() { PyBuffer_Release(&view_); }
    BufferView(const BufferView&) = delete;
    BufferView& operator=(const BufferView&) = delete;
    uint8_t* data() const { return static_cast<uint8_t*>(view_.buf); }
    size_t nbytes() const { return static_cast<size_t>(view_.len); }

private:
    Py_buffer view_;
};

const Kernels& kernels_named(const std::string& isa) {
    if (isa.empty()) return chosen_kernels();
    if (const Kernels* kernels = find_kernels(isa)) return *kernels;
    throw std::invalid_argument("isa '" + isa + "' is not available here");
}

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::object to_numpy(const std::vector<T>& values) {
    auto* copy = new std::vector<T>(values);
    nb::capsule owner(copy, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(copy->data(), {copy->size()}, owner));
}

std::vector<Extent> read_extents(const Array<uint64_t>& starts, const Array<uint64_t>& stops,
                                 const Array<uint8_t>& layouts) {
    if (starts.size() != stops.size() || starts.size() != layouts.size())
        throw std::invalid_argument("starts, stops and layouts must have equal lengths");
    std::vector<Extent> extents(starts.size());
    uint64_t last = 0;
    for (size_t i = 0; i < extents.size(); ++i) {
        if (starts(i) < last || stops(i) < starts(i) || layouts(i) >= kLayoutCount)
            throw std::invalid_argument("extents must be sorted, disjoint and of a known layout");
        last = stops(i);
        extents[i] = {starts(i), stops(i), static_cast<Layout>(layouts(i))};
    }
    return extents;
}

nb::tuple encode_records(OutputBuffer& sink, nb::handle data, uint64_t offset, uint32_t chunk_nbytes,
                         const Array<uint64_t>& starts, const Array<uint64_t>& stops, const Array<uint8_t>& layouts,
                         int effort, int threads, const std::string& isa) {
    if (!chunk_nbytes || chunk_nbytes > kMaxChunkNbytes) throw std::invalid_argument("chunk_nbytes out of range");
    if (effort < 0 || effort > static_cast<int>(Effort::kAdaptive)) throw std::invalid_argument("effort is 0, 1 or 2");
    const BufferView view(data, PyBUF_SIMPLE);
    const std::vector<Extent> extents = read_extents(starts, stops, layouts);
    const size_t count = (view.nbytes() + chunk_nbytes - 1) / chunk_nbytes;
    if (sink.capacity() - sink.length < view.nbytes() + count * (kRecordHeader + chunk_bound(0)))
        throw std::invalid_argument("the OutputBuffer has too little room; see records_bound");
    EncodeJob job{kernels_named(isa), view.data(),  view.nbytes(), offset, chunk_nbytes, extents,
                  static_cast<Effort>(effort), sink.data(), &sink.length,
                  {sink.data(), sink.capacity()}, {}, RecordNotes(count)};
    {
        const nb::gil_scoped_release release;
        parallel_for<EncodeWorker>(count, threads, [&] { return EncodeWorker(job); });
    }
    return nb::make_tuple(to_numpy(job.notes.stored_nbytes), to_numpy(job.notes.compressible_nbytes),
                          to_numpy(job.notes.repetitive_nbytes));
}

/// What decode_records found wrong first, in record order.
struct RecordFault {
    size_t record = SIZE_MAX;
    Status status;
    size_t consumed = 0;
};

struct DecodeJob {
    const Kernels& kernels;
    const uint8_t* data;
    const uint64_t* offsets;   // of each record in data
    uint8_t* out;
    const uint64_t* out_offsets;
    bool past_cache;
    FirstTouch first_touch;
    std::mutex lock;
    RecordFault first;

    void report(size_t record, Status status, size_t consumed) {
        const std::lock_guard<std::mutex> guard(lock);
        if (record < first.record) first = {record, status, consumed};
    }
};

class DecodeWorker {
public:
    explicit DecodeWorker(DecodeJob& job) : job_(job) { workspace_.past_cache = job.past_cache; }
    void operator()(size_t i) {
        const uint8_t* record = job_.data + job_.offsets[i];
        const RecordHeader header = read_record_header(record);
        Status status;
        size_t consumed = 0;
        job_.first_touch(job_.out + job_.out_offsets[i], header.nbytes);
        if (!(header.flags & kZstdFlag))  // those are inflated by the caller, then decode_payload
            status = decode_chunk(job_.kernels, record + kRecordHeader, header.stored_nbytes, workspace_,
                                  job_.out + job_.out_offsets[i], header.nbytes, consumed);
        // Only now: decoding has brought the record to the cache, at the pace of its arithmetic. It bears any payload.
        if (const uint32_t crc = record_crc(job_.kernels, record, header.stored_nbytes); crc != header.crc)
            return job_.report(i, {Fault::kChecksum, crc, header.crc}, 0);
        if (!status.ok()) job_.report(i, status, consumed);
    }

private:
    DecodeJob& job_;
    ChunkWorkspace workspace_;
};

nb::object fault_or_none(const RecordFault& fault) {
    if (fault.status.ok()) return nb::none();
    return nb::make_tuple(fault.record, static_cast<int>(fault.status.fault), fault.status.found,
                          fault.status.expected, fault.consumed);
}

/// Records whose headers the caller has checked (container/records.py): CRCs are checked here too.
nb::object decode_records(nb::handle data, const Array<uint64_t>& offsets, nb::handle out,
                          const Array<uint64_t>& out_offsets, int threads, const std::string& isa) {
    const BufferView in(data, PyBUF_SIMPLE), target(out, PyBUF_WRITABLE);
    if (offsets.size() != out_offsets.size()) throw std::invalid_argument("offsets and out_offsets differ in length");
    for (size_t i = 0; i < offsets.size(); ++i) {
        if (offsets(i) > in.nbytes() || in.nbytes() - offsets(i) < kRecordHeader)
            throw std::invalid_argument("a record lies outside the data");
        const RecordHeader header = read_record_header(in.data() + offsets(i));
        if (header.stored_nbytes > in.nbytes() - offsets(i) - kRecordHeader || out_offsets(i) > target.nbytes() ||
            header.nbytes > target.nbytes() - out_offsets(i))
            throw std::invalid_argument("a record does not fit the data or the output");
    }
    DecodeJob job{kernels_named(isa), in.data(), offsets.data(), target.data(), out_offsets.data(),
                  target.nbytes() > kMoreThanCaches, {target.data(), target.nbytes()}, {}, {}};
    {
        const nb::gil_scoped_release release;
        parallel_for<DecodeWorker>(offsets.size(), threads, [&] { return DecodeWorker(job); });
    }
    return fault_or_none(job.first);
}

nb::object decode_payload(nb::handle payload, nb::handle out, const std::string& isa) {
    const BufferView in(payload, PyBUF_SIMPLE), target(out, PyBUF_WRITABLE);
    const Kernels& kernels = kernels_named(isa);
    RecordFault fault{0, {}, 0};
    {
        const nb::gil_scoped_release release;
        ChunkWorkspace workspace;
        fault.status =
            decode_chunk(kernels, in.data(), in.nbytes(), workspace, target.data(), target.nbytes(), fault.consumed);
    }
    return fault_or_none(fault);
}

/// Bytes sorted by their position modulo 4, the first ones' first. The planes of 32-bit integers lie so, but the highest
/// byte's comes first there. Of lengths that are no multiple of four the first groups have one byte more.
struct Groups {
    static constexpr size_t kCount = 4;

    Groups(uint8_t* grouped, size_t nbytes) : whole(nbytes / kCount), rest(nbytes % kCount) {
        for (size_t g = 0; g < kCount; grouped += whole + (g < rest), ++g) planes[kCount - 1 - g] = grouped;
    }
    /// The last byte of a group, of those that have one more.
    uint8_t& tail(size_t g) const { return planes[kCount - 1 - g][whole]; }

    const size_t whole, rest;
    uint8_t* planes[kCount];
};

/// As many bytes as there were, which `move` puts where they belong: move(kernels, in, out, nbytes).
template <class Move>
nb::object moved(nb::handle data, const std::string& isa, const Move& move) {
    const BufferView in(data, PyBUF_SIMPLE);
    OutputBuffer out(in.nbytes());
    out.length = in.nbytes();
    move(kernels_named(isa), in.data(), out.data(), in.nbytes());
    return nb::steal(out.take());
}

nb::object group4(nb::handle data, const std::string& isa) {
    return moved(data, isa, [](const Kernels& kernels, uint8_t* in, uint8_t* out, size_t nbytes) {
        const Groups groups(out, nbytes);
        kernels.split[static_cast<int>(Layout::kInt32)](in, groups.whole, groups.planes);
        for (size_t g = 0; g < groups.rest; ++g) groups.tail(g) = in[groups.whole * Groups::kCount + g];
    });
}

nb::object ungroup4(nb::handle grouped, const std::string& isa) {
    return moved(grouped, isa, [](const Kernels& kernels, uint8_t* in, uint8_t* out, size_t nbytes) {
        const Groups groups(in, nbytes);
        kernels.join[static_cast<int>(Layout::kInt32)](groups.planes, groups.whole, out);
        for (size_t g = 0; g < groups.rest; ++g) out[groups.whole * Groups::kCount + g] = groups.tail(g);
    });
}

uint32_t crc32c(nb::handle data, uint32_t crc, const std::string& isa) {
    const BufferView in(data, PyBUF_SIMPLE);
    const Kernels& kernels = kernels_named(isa);
    const nb::gil_scoped_release release;
    return kernels.crc32c(crc, in.data(), in.nbytes());
}

int export_buffer(PyObject* self, Py_buffer* view, int flags) {
    OutputBuffer* buffer = nb::inst_ptr<OutputBuffer>(self);
    try {
        if (PyBuffer_FillInfo(view, self, buffer->data(), static_cast<Py_ssize_t>(buffer->capacity()), 0, flags) < 0)
            return -1;
    } catch (const std::exception& e) {
        PyErr_SetString(PyExc_BufferError, e.what());
        return -1;
    }
    ++buffer->exports;
    return 0;
}
void release_buffer(PyObject* self, Py_buffer*) { --nb::inst_ptr<OutputBuffer>(self)->exports; }

PyType_Slot output_buffer_slots[] = {
    {Py_bf_getbuffer, reinterpret_cast<void*>(export_buffer)},
    {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
    {0, nullptr},
};

}  // namespace
}  // namespace freebits

NB_MODULE(_core, m) {
    using namespace freebits;
    m.doc() = "Native codec kernels; see _core.pyi.";
    m.attr("RECORD_HEADER_NBYTES") = kRecordHeader;
    m.attr("MAX_CHUNK_NBYTES") = kMaxChunkNbytes;
    m.def("isa", [] { return std::string(chosen_kernels().name); });
    m.def("available_isas", [] {
        std::vector<std::string> names;
        for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
        return names;
    });
    nb::class_<OutputBuffer>(m, "OutputBuffer", nb::type_slots(output_buffer_slots))
        .def(nb::init<size_t>(), "capacity"_a)
        .def_prop_rw(
            "length", [](const OutputBuffer& b) { return b.length; },
            [](OutputBuffer& b, size_t length) {
                if (length > b.capacity()) throw std::invalid_argument("OutputBuffer.length: more than its capacity");
                b.length = length;
            })
        .def_prop_ro("capacity", &OutputBuffer::capacity)
        .def("take", [](OutputBuffer& b) { return nb::steal(b.take()); });
    m.def("records_bound", [](size_t nbytes, uint32_t chunk_nbytes) {
        return nbytes + (nbytes + chunk_nbytes - 1) / chunk_nbytes * (kRecordHeader + chunk_bound(0));
    });
    m.def("encode_records", &encode_records, "sink"_a, "data"_a, "offset"_a, "chunk_nbytes"_a, "starts"_a, "stops"_a,
          "layouts"_a, "effort"_a = static_cast<int>(Effort::kEntropy), "threads"_a = 1, "isa"_a = "");
    m.def("decode_records", &decode_records, "data"_a, "offsets"_a, "out"_a, "out_offsets"_a, "threads"_a = 1,
          "isa"_a = "");
    m.def("decode_payload", &decode_payload, "payload"_a, "out"_a, "isa"_a = "");
    m.def("group4", &group4, "data"_a, "isa"_a = "");
    m.def("ungroup4", &ungroup4, "grouped"_a, "isa"_a = "");
    m.def("crc32c", &crc32c, "data"_a, "crc"_a = 0, "isa"_a = "");
}
