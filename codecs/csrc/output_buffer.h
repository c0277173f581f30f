// Memory for results that become a Python bytes object without being copied.
#pragma once

#include <Python.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <stdexcept>

namespace freebits {

/// A bytes object under construction: filled from the front, shrunk and handed over by take().
class OutputBuffer {
public:
    explicit OutputBuffer(size_t capacity) : object_(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(capacity))) {
        if (!object_) {
            PyErr_Clear();
            throw std::bad_alloc();
        }
        advise_huge_pages();
    }
    ~OutputBuffer() { Py_XDECREF(object_); }
    OutputBuffer(const OutputBuffer&) = delete;
    OutputBuffer& operator=(const OutputBuffer&) = delete;

    uint8_t* data() { return reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(alive())); }
    size_t capacity() { return static_cast<size_t>(PyBytes_GET_SIZE(alive())); }
    size_t length = 0;
    Py_ssize_t exports = 0;  // memoryviews that look into it

    /// The finished bytes object; the buffer is empty afterwards. New reference.
    PyObject* take() {
        if (exports) throw std::runtime_error("OutputBuffer.take: release the memoryviews of the buffer first");
        alive();
        if (_PyBytes_Resize(&object_, static_cast<Py_ssize_t>(length)) < 0) return nullptr;
        PyObject* result = object_;
        object_ = nullptr;
        return result;
    }
    PyObject* alive() {
        if (!object_) throw std::runtime_error("OutputBuffer: used after take()");
        return object_;
    }

private:
    /// First touch of fresh memory costs as much as decoding into it when it comes in 4 KiB pages.
    void advise_huge_pages() {
#if defined(MADV_HUGEPAGE)
        constexpr uintptr_t kPage = 4096;
        constexpr size_t kWorthwhile = 4u << 20;
        if (capacity() < kWorthwhile) return;
        const uintptr_t first = (reinterpret_cast<uintptr_t>(data()) + kPage - 1) & ~(kPage - 1);
        (void)madvise(reinterpret_cast<void*>(first), capacity() - kPage, MADV_HUGEPAGE);
#endif
    }
    PyObject* object_;
};

}  // namespace freebits
