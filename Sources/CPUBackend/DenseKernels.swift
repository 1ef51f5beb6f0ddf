import Basics
import CKernels
import COneDNN
import Tensors

/// oneDNN matrix products, each created once and used by every matrix of its extents.
///
/// A matrix is cut along its output into slices; a slice is one single-threaded oneDNN product, and the pool
/// runs the slices. So oneDNN starts no threads of its own.
final class DenseKernels: @unchecked Sendable {
  struct Key: Hashable {
    let rows: Int
    let inputWidth: Int
    let outputWidth: Int
    let narrow: Bool
    let bias: Bool
  }

  let engine: dnnl_engine_t
  private let threads: Int
  private var kernels: [Key: DenseKernel] = [:]
  private var layouts: [Key: dnnl_memory_desc_t] = [:]

  init(threads: Int) throws {
    var engine: dnnl_engine_t?
    try DenseKernels.check(dnnl_engine_create(&engine, dnnl_cpu, 0), "create an engine")
    guard let engine else { throw DenseKernels.failure("create an engine", dnnl_runtime_error) }
    self.engine = engine
    self.threads = threads
  }

  deinit {
    kernels = [:]
    dnnl_engine_destroy(engine)
  }

  /// Row counts that products are made for; others are padded up, so that few products serve every batch.
  static let rowBuckets = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
  static let maximumRows = 512

  static func bucket(_ rows: Int) -> Int { rowBuckets.first { $0 >= rows } ?? maximumRows }

  /// The layout of a slice's weights: the one that oneDNN wants, where it wants the same for every number of
  /// rows; else plain `[in, out]`, since a product on another layout would run on oneDNN's slow reference.
  func layout(inputWidth: Int, outputWidth: Int, narrow: Bool) throws -> dnnl_memory_desc_t {
    let key = Key(
      rows: 0, inputWidth: inputWidth, outputWidth: outputWidth, narrow: narrow,
      bias: false)
    if let known = layouts[key] { return known }
    var chosen = try DenseKernels.plain(
      inputWidth, outputWidth, stride: outputWidth, type: DenseKernels.type(narrow))
    var wanted = try DenseKernels.rowBuckets.map { try wantedLayout(key, rows: $0) }
    if wanted.dropFirst().indices.allSatisfy({ dnnl_memory_desc_equal(&wanted[0], &wanted[$0]) != 0 }) {
      chosen = wanted[0]
    }
    layouts[key] = chosen
    return chosen
  }

  private func wantedLayout(_ key: Key, rows: Int) throws -> dnnl_memory_desc_t {
    var any = dnnl_memory_desc_t()
    try DenseKernels.check(
      dnnl_memory_desc_init_by_tag(
        &any, 2, [Int64(key.inputWidth), Int64(key.outputWidth)], DenseKernels.type(key.narrow),
        dnnl_format_tag_any),
      "describe weights")
    let probe = Key(
      rows: rows, inputWidth: key.inputWidth, outputWidth: key.outputWidth,
      narrow: key.narrow, bias: false)
    let description = try DenseKernels.describe(probe, weights: any, engine: engine)
    defer { dnnl_primitive_desc_destroy(description) }
    guard let layout = dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0) else {
      throw DenseKernels.failure("choose a weight layout", dnnl_runtime_error)
    }
    return layout.pointee
  }

  func kernel(_ key: Key) throws -> DenseKernel {
    if let known = kernels[key] { return known }
    let weights = try layout(
      inputWidth: key.inputWidth, outputWidth: key.outputWidth, narrow: key.narrow)
    let kernel = try DenseKernel(key, weights: weights, engine: engine, threads: threads)
    kernels[key] = kernel
    return kernel
  }

  static func type(_ narrow: Bool) -> dnnl_data_type_t { narrow ? dnnl_bf16 : dnnl_f32 }

  static func plain(_ rows: Int, _ width: Int, stride: Int, type: dnnl_data_type_t) throws
    -> dnnl_memory_desc_t
  {
    var description = dnnl_memory_desc_t()
    let extents = [Int64(rows), Int64(width)]
    let strides = [Int64(stride), 1]
    try check(
      dnnl_memory_desc_init_by_strides(&description, 2, extents, type, strides), "describe a matrix")
    return description
  }

  static func describe(_ key: Key, weights: dnnl_memory_desc_t, engine: dnnl_engine_t) throws
    -> dnnl_primitive_desc_t
  {
    var source = try plain(key.rows, key.inputWidth, stride: key.inputWidth, type: type(key.narrow))
    var target = try plain(key.rows, key.outputWidth, stride: key.outputWidth, type: dnnl_f32)
    var bias = try plain(1, key.outputWidth, stride: key.outputWidth, type: dnnl_f32)
    var weights = weights
    var operation = dnnl_matmul_desc_t()
    if key.bias {
      try check(
        dnnl_matmul_desc_init(&operation, &source, &weights, &bias, &target), "describe a product")
    } else {
      try check(dnnl_matmul_desc_init(&operation, &source, &weights, nil, &target), "describe a product")
    }
    var attributes: dnnl_primitive_attr_t?
    try check(dnnl_primitive_attr_create(&attributes), "create attributes")
    defer { dnnl_primitive_attr_destroy(attributes) }
    try check(
      dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "set attributes")
    var description: dnnl_primitive_desc_t?
    try check(
      dnnl_primitive_desc_create(&description, &operation, attributes, engine, nil), "plan a product")
    guard let description else { throw failure("plan a product", dnnl_runtime_error) }
    return description
  }

  static func check(_ status: dnnl_status_t, _ what: String) throws {
    if status != dnnl_success { throw failure(what, status) }
  }

  static func failure(_ what: String, _ status: dnnl_status_t) -> RetortError {
    RetortError(
      status == dnnl_out_of_memory ? .outOfMemory : .deviceFailure,
      "oneDNN could not \(what) (status \(status.rawValue))",
      remedy: "Use --compute lean, or a machine with more memory.")
  }
}

/// One oneDNN product of fixed extents, with memory handles for each thread of the pool.
final class DenseKernel: @unchecked Sendable {
  private let primitive: dnnl_primitive_t
  private let lanes: [Lane]

  private struct Lane {
    let stream: dnnl_stream_t
    let source: dnnl_memory_t
    let weights: dnnl_memory_t
    let bias: dnnl_memory_t
    let target: dnnl_memory_t
    let scratch: dnnl_memory_t
    let scratchMemory: OwnedMemory
  }

  init(_ key: DenseKernels.Key, weights: dnnl_memory_desc_t, engine: dnnl_engine_t, threads: Int) throws {
    let description = try DenseKernels.describe(key, weights: weights, engine: engine)
    defer { dnnl_primitive_desc_destroy(description) }
    var primitive: dnnl_primitive_t?
    try DenseKernels.check(dnnl_primitive_create(&primitive, description), "create a product")
    guard let primitive else { throw DenseKernels.failure("create a product", dnnl_runtime_error) }
    self.primitive = primitive
    let type = DenseKernels.type(key.narrow)
    let source = try DenseKernels.plain(key.rows, key.inputWidth, stride: key.inputWidth, type: type)
    let target = try DenseKernels.plain(
      key.rows, key.outputWidth, stride: key.outputWidth, type: dnnl_f32)
    let bias = try DenseKernels.plain(1, key.outputWidth, stride: key.outputWidth, type: dnnl_f32)
    let scratch = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0)
    let scratchBytes = scratch.map { dnnl_memory_desc_get_size($0) } ?? 0
    lanes = try (0..<threads).map { _ in
      let memory = try OwnedMemory(byteCount: max(Int(scratchBytes), 64))
      var stream: dnnl_stream_t?
      try DenseKernels.check(
        dnnl_stream_create(&stream, engine, UInt32(dnnl_stream_default_flags.rawValue)), "create a stream")
      guard let stream else { throw DenseKernels.failure("create a stream", dnnl_runtime_error) }
      return Lane(
        stream: stream, source: try DenseKernel.memory(source, engine),
        weights: try DenseKernel.memory(weights, engine), bias: try DenseKernel.memory(bias, engine),
        target: try DenseKernel.memory(target, engine),
        scratch: try DenseKernel.memory(scratch?.pointee ?? dnnl_memory_desc_t(), engine, memory.base),
        scratchMemory: memory)
    }
  }

  deinit {
    for lane in lanes {
      for memory in [lane.source, lane.weights, lane.bias, lane.target, lane.scratch] {
        dnnl_memory_destroy(memory)
      }
      dnnl_stream_destroy(lane.stream)
    }
    dnnl_primitive_destroy(primitive)
  }

  private static func memory(
    _ description: dnnl_memory_desc_t, _ engine: dnnl_engine_t, _ handle: UnsafeMutableRawPointer? = nil
  ) throws -> dnnl_memory_t {
    var description = description
    var memory: dnnl_memory_t?
    try DenseKernels.check(dnnl_memory_create(&memory, &description, engine, handle), "name memory")
    guard let memory else { throw DenseKernels.failure("name memory", dnnl_out_of_memory) }
    return memory
  }

  /// Computes one slice on one thread of the pool; false where oneDNN reports a failure.
  func run(
    thread: Int, source: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer,
    bias: UnsafeMutablePointer<Float>?, target: UnsafeMutablePointer<Float>
  ) -> Bool {
    let lane = lanes[thread]
    dnnl_memory_set_data_handle(lane.source, source)
    dnnl_memory_set_data_handle(lane.weights, weights)
    dnnl_memory_set_data_handle(lane.target, UnsafeMutableRawPointer(target))
    var arguments = [
      dnnl_exec_arg_t(arg: DNNL_ARG_SRC, memory: lane.source),
      dnnl_exec_arg_t(arg: DNNL_ARG_WEIGHTS, memory: lane.weights),
      dnnl_exec_arg_t(arg: DNNL_ARG_DST, memory: lane.target),
      dnnl_exec_arg_t(arg: DNNL_ARG_SCRATCHPAD, memory: lane.scratch),
    ]
    if let bias {
      dnnl_memory_set_data_handle(lane.bias, UnsafeMutableRawPointer(bias))
      arguments.append(dnnl_exec_arg_t(arg: DNNL_ARG_BIAS, memory: lane.bias))
    }
    return dnnl_primitive_execute(primitive, lane.stream, Int32(arguments.count), arguments) == dnnl_success
  }
}
