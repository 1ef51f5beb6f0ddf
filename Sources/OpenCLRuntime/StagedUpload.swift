import COpenCL

/// Two buffers of host memory that the device copies from by itself, filled in turn.
///
/// While one piece is on its way, the next is read from its file into the other buffer; a driver that is given a
/// mapped file to copy from does the two one after the other. The host never holds more than both pieces.
final class StagedUpload {
  /// Long enough that a copy's start costs nothing beside it.
  static let pieceBytes = 16 << 20

  private struct Stage {
    let memory: cl_mem
    let pointer: UnsafeMutableRawPointer
    /// The copy that still reads the buffer.
    var copy: cl_event?
  }

  private var stages: [Stage] = []
  private var next = 0
  private let queue: cl_command_queue

  /// - Returns: nil where the driver has no such memory.
  init?(context: cl_context, queue: cl_command_queue, pieceBytes: Int) {
    self.queue = queue
    clRetainCommandQueue(queue)
    for _ in 0..<2 {
      var status: cl_int = 0
      let flags = cl_mem_flags(CL_MEM_READ_ONLY | CL_MEM_ALLOC_HOST_PTR)
      guard let memory = clCreateBuffer(context, flags, pieceBytes, nil, &status), status == CL_SUCCESS else {
        return nil
      }
      let pointer = clEnqueueMapBuffer(
        queue, memory, cl_bool(CL_TRUE), cl_map_flags(CL_MAP_WRITE), 0, pieceBytes, 0, nil, nil, &status)
      guard let pointer, status == CL_SUCCESS else {
        clReleaseMemObject(memory)
        return nil
      }
      stages.append(Stage(memory: memory, pointer: pointer))
    }
  }

  deinit {
    for stage in stages {
      if let copy = stage.copy { clReleaseEvent(copy) }
      // The queue is in order: the buffer goes when the last copy has read it.
      clEnqueueUnmapMemObject(queue, stage.memory, stage.pointer, 0, nil, nil)
      clReleaseMemObject(stage.memory)
    }
    clReleaseCommandQueue(queue)
  }

  /// A buffer that nothing reads any more, filled with `bytes`, which are at most a piece.
  func fill(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer {
    next = (next + 1) % stages.count
    if let copy = stages[next].copy {
      var event: cl_event? = copy
      clWaitForEvents(1, &event)
      clReleaseEvent(copy)
      stages[next].copy = nil
    }
    if let start = bytes.baseAddress { stages[next].pointer.copyMemory(from: start, byteCount: bytes.count) }
    return UnsafeRawPointer(stages[next].pointer)
  }

  /// Takes over the event of the copy from the buffer that was filled last.
  func reads(_ copy: cl_event) { stages[next].copy = copy }
}
