import Basics
import CKernels
import COneDNN
import Tensors

/// A matrix repacked once to Float32 or bfloat16 in the layout oneDNN wants, in slices along the output.
final class DenseMatrix: Sendable {
  let inputWidth: Int
  let outputWidth: Int
  let narrow: Bool
  let slices: [Slice]

  struct Slice: Sendable {
    let columns: Range<Int>
    let memory: OwnedMemory
  }

  /// Stacks the parts, a slice of rows at a time: dequantise, then let oneDNN reorder.
  init(_ parts: [CheckedSource], narrow: Bool, backend: DenseKernels, pool: ThreadPool) throws {
    inputWidth = parts[0].width
    outputWidth = parts.reduce(0) { $0 + $1.rows }
    self.narrow = narrow
    let count = max(1, min(pool.threads, outputWidth / 64))
    // oneDNN blocks the output by 64.
    let width = ((outputWidth + count - 1) / count + 63) / 64 * 64
    var slices: [Slice] = []
    for start in stride(from: 0, to: outputWidth, by: width) {
      let columns = start..<min(outputWidth, start + width)
      slices.append(
        Slice(
          columns: columns,
          memory: try DenseMatrix.pack(parts, columns, narrow: narrow, backend: backend, pool: pool)))
    }
    self.slices = slices
    for part in parts { part.source.release() }
  }

  var byteCount: Int { slices.reduce(0) { $0 + $1.memory.byteCount } }

  private static func pack(
    _ parts: [CheckedSource], _ columns: Range<Int>, narrow: Bool, backend: DenseKernels, pool: ThreadPool
  ) throws -> OwnedMemory {
    let inputWidth = parts[0].width
    let layout = try backend.layout(inputWidth: inputWidth, outputWidth: columns.count, narrow: narrow)
    var target = layout
    let memory = try OwnedMemory(byteCount: Int(dnnl_memory_desc_get_size(&target)), zeroed: true)
    var starts: [(part: CheckedSource, start: Int)] = []
    var start = 0
    for part in parts {
      starts.append((part, start))
      start += part.rows
    }
    // A few rows at a time: the Float32 copy of a whole vocabulary would double the memory.
    let chunk = min(columns.count, 512)
    let plain = try OwnedMemory(byteCount: chunk * inputWidth * 4)
    let values = plain.base.assumingMemoryBound(to: Float.self)
    for first in stride(from: 0, to: columns.count, by: chunk) {
      let count = min(chunk, columns.count - first)
      pool.forRanges(count, minimum: 8) { range in
        for row in range {
          let column = columns.lowerBound + first + row
          guard let (part, start) = starts.last(where: { $0.start <= column }) else { continue }
          rk_dequantize(part.type, part.row(column - start), values + row * inputWidth, inputWidth)
        }
      }
      var whole = layout
      var share = dnnl_memory_desc_t()
      try DenseKernels.check(
        dnnl_memory_desc_init_submemory(
          &share, &whole, [Int64(inputWidth), Int64(count)], [0, Int64(first)]),
        "describe weights")
      try reorder(plain.base, to: memory.base, share, inputWidth, count, engine: backend.engine)
    }
    return memory
  }

  /// Copies `[out, in]` Float32 rows into the packed layout (of the `[in, out]` matrix oneDNN sees).
  private static func reorder(
    _ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawPointer, _ layout: dnnl_memory_desc_t,
    _ inputWidth: Int, _ outputWidth: Int, engine: dnnl_engine_t
  ) throws {
    var plain = dnnl_memory_desc_t()
    var packed = layout
    try DenseKernels.check(
      dnnl_memory_desc_init_by_strides(
        &plain, 2, [Int64(inputWidth), Int64(outputWidth)], dnnl_f32, [1, Int64(inputWidth)]),
      "describe weights")
    var description: dnnl_primitive_desc_t?
    try DenseKernels.check(
      dnnl_reorder_primitive_desc_create(&description, &plain, engine, &packed, engine, nil), "plan a reorder"
    )
    defer { dnnl_primitive_desc_destroy(description) }
    var primitive: dnnl_primitive_t?
    try DenseKernels.check(dnnl_primitive_create(&primitive, description), "create a reorder")
    defer { dnnl_primitive_destroy(primitive) }
    var from: dnnl_memory_t?
    var to: dnnl_memory_t?
    var stream: dnnl_stream_t?
    try DenseKernels.check(dnnl_memory_create(&from, &plain, engine, source), "name memory")
    defer { dnnl_memory_destroy(from) }
    try DenseKernels.check(dnnl_memory_create(&to, &packed, engine, target), "name memory")
    defer { dnnl_memory_destroy(to) }
    try DenseKernels.check(
      dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue)), "create a stream")
    defer { dnnl_stream_destroy(stream) }
    let arguments = [
      dnnl_exec_arg_t(arg: DNNL_ARG_FROM, memory: from), dnnl_exec_arg_t(arg: DNNL_ARG_TO, memory: to),
    ]
    try DenseKernels.check(dnnl_primitive_execute(primitive, stream, 2, arguments), "reorder weights")
  }
}
