import Basics
import CKernels
import Tensors

extension CPUBackend {
  /// `op(a) op(b) + bias`, `[m, k] × [k, n] → [m, n]`, where `op` transposes if asked to.
  ///
  /// With `sum` the product is added to it in place and it is returned; it must not share memory with an operand.
  /// An element's terms are added in the order of k whatever the other extents and the number of threads.
  /// `.bf16` rounds the operands where the processor multiplies bfloat16 and is Float32 elsewhere.
  ///
  /// - Throws: `shapeMismatch` where operands do not fit, `invalidArgument` for another precision, `outOfMemory`.
  public func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType
  ) throws -> Tensor {
    let operation = try Product(
      a.shape, transposeA: transposeA, b.shape, transposeB: transposeB, bias: bias?.shape, addTo: sum?.shape,
      precision: precision)
    let (left, right, added) = (try floats(a), try floats(b), try bias.map(floats))
    let y = try sum ?? allocate(operation.outputShape, .f32)
    let target = try floats(y)
    guard operation.m > 0, operation.n > 0 else { return y }
    var work = rk_product()
    (work.m, work.n, work.k) = (Int32(operation.m), Int32(operation.n), Int32(operation.k))
    work.a = UnsafePointer(left)
    work.b = UnsafePointer(right)
    work.bias = added.map { UnsafePointer($0) }
    work.c = target
    (work.a_stride, work.b_stride, work.c_stride) = (a.rowStride, b.rowStride, y.rowStride)
    (work.a_transposed, work.b_transposed) = (transposeA ? 1 : 0, transposeB ? 1 : 0)
    work.accumulate = sum == nil ? 0 : 1
    work.narrow = precision == .bf16 ? 1 : 0
    try measured(operation) { try runProduct(work) }
    return y
  }

  /// Plans a product for this backend's threads and runs it.
  func runProduct(_ product: rk_product) throws {
    guard product.m > 0, product.n > 0 else { return }
    var work = product
    rk_product_plan(&work, Int32(pool.threads))
    let own = (work.own_bytes + 63) / 64 * 64
    let shared = (work.shared_bytes + 63) / 64 * 64
    let memory = try scratch(shared + own * pool.threads)
    run(work, shared: memory, own: memory + shared, ownBytes: own)
  }

  private func run(
    _ work: rk_product, shared: UnsafeMutableRawPointer, own: UnsafeMutableRawPointer, ownBytes: Int
  ) {
    withUnsafePointer(to: work) { work in
      // A small product is done before another thread has woken.
      guard work.pointee.threads > 1 else {
        for task in 0..<work.pointee.pack_tasks { rk_product_pack(work, task, shared) }
        for task in 0..<work.pointee.tasks { rk_product_run(work, task, shared, own) }
        return
      }
      pool.run(Int(work.pointee.pack_tasks)) { task, _ in rk_product_pack(work, Int32(task), shared) }
      pool.run(Int(work.pointee.tasks)) { task, thread in
        rk_product_run(work, Int32(task), shared, own + thread * ownBytes)
      }
    }
  }
}
