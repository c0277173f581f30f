// Memory for results that become a Python bytes object without being copied.
#pragma once

#include <Python.h>

#include <cstdint>
#include <new>
#include <stdexcept>

#include "page_advice.h"

namespace freebits {

/// A bytes object under construction: filled from the front, shrunk and handed over by take().
class OutputBuffer {
public:
    explicit OutputBuffer(size_t capacity) : object_(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(capacity))) {
        if (!object_) {
            PyErr_Clear();
            throw std::bad_alloc();
        }
        if (capacity >= kWorthHugePages) ask_for_pages(data(), capacity, Pages::kHuge);
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
    static constexpr size_t kWorthHugePages = 4u << 20;
    PyObject* object_;
};

}  // namespace freebits
