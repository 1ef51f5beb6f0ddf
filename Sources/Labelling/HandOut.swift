/// Which device labels which pair: pairs of a query stay together, and no device lacks work while another has some
/// waiting.
///
/// A value without threads or clocks; ``DevicePool`` guards it.
struct HandOut {
  /// Pairs of one query that wait for a device.
  private struct Group {
    let query: String
    var pairs: ArraySlice<PairWork>
  }

  /// A device's share.
  private struct Lane {
    let capacity: Int
    var waiting: ArraySlice<Group> = []
    var waitingCount = 0
    var held: [Int: PairWork] = [:]
    /// The query of the pair that the device took last: it has that query's part of the prompt.
    var lastTaken: String?
    var finished = 0
    var isLost = false

    var load: Int { waitingCount + held.count }

    mutating func append(_ group: Group) {
      waitingCount += group.pairs.count
      if let last = waiting.indices.last, waiting[last].query == group.query {
        waiting[last].pairs += group.pairs
      } else {
        waiting.append(group)
      }
    }

    mutating func popFirst() -> PairWork? {
      guard let first = waiting.indices.first, let work = waiting[first].pairs.popFirst() else { return nil }
      if waiting[first].pairs.isEmpty { waiting.removeFirst() }
      waitingCount -= 1
      lastTaken = work.pair.query
      return work
    }
  }

  private var lanes: [Lane]
  /// Submitted since the last ``distribute()``.
  private var arriving: [Group] = []
  /// The query submitted last and the devices that have pairs of it: more of it may come.
  private var lastQuery: String?
  private var homes: Set<Int> = []
  /// How often pairs of a query were divided between devices because nothing else was left to hand out.
  private(set) var splits = 0

  /// - Parameter capacities: pairs that each device works on together.
  init(capacities: [Int]) { lanes = capacities.map { Lane(capacity: max(1, $0)) } }

  /// What the devices left work on, and as much again, so that none waits for the job.
  var capacity: Int { lanes.reduce(0) { $0 + ($1.isLost ? 0 : $1.capacity * 2) } }
  var isEmpty: Bool { arriving.isEmpty && lanes.allSatisfy { $0.load == 0 } }
  var hasDevices: Bool { lanes.contains { !$0.isLost } }
  /// Pairs that no device has taken.
  var waitingCount: Int { lanes.reduce(arriving.reduce(0) { $0 + $1.pairs.count }) { $0 + $1.waitingCount } }

  func finished(by device: Int) -> Int { lanes[device].finished }
  func held(by device: Int) -> Int { lanes[device].held.count }

  /// Takes a pair; pairs of a query are best submitted one after the other.
  mutating func submit(_ work: PairWork) {
    if let last = arriving.indices.last, arriving[last].query == work.pair.query {
      arriving[last].pairs.append(work)
    } else {
      arriving.append(Group(query: work.pair.query, pairs: [work]))
    }
  }

  /// Divides what was submitted among the devices by query; few pairs are divided evenly.
  mutating func distribute() {
    guard hasDevices else { return }
    for group in arriving {
      if group.query != lastQuery {
        lastQuery = group.query
        homes = []
      }
      let lane = leastLoaded(homes) ?? leastLoaded(Set(lanes.indices)) ?? 0
      homes.insert(lane)
      lanes[lane].append(group)
    }
    arriving = []
    level()
  }

  /// Pairs for a device up to its capacity, its own first, then those that wait longest for another.
  mutating func take(_ device: Int) -> [PairWork] {
    guard !lanes[device].isLost else { return [] }
    var taken: [PairWork] = []
    while lanes[device].held.count < lanes[device].capacity {
      if lanes[device].waiting.isEmpty, !give(to: device) { break }
      guard let work = lanes[device].popFirst() else { break }
      lanes[device].held[work.row] = work
      taken.append(work)
    }
    return taken
  }

  /// Notes that a device is done with a row; false where it did not have it.
  mutating func finish(_ device: Int, row: Int) -> Bool {
    guard lanes[device].held.removeValue(forKey: row) != nil else { return false }
    lanes[device].finished += 1
    return true
  }

  /// Gives all that a device had to the others, or keeps it where there is none.
  mutating func lose(_ device: Int) {
    let held = lanes[device].held.values.sorted { ($0.pair.query, $0.row) < ($1.pair.query, $1.row) }
    let waiting = lanes[device].waiting.flatMap(\.pairs)
    lanes[device].isLost = true
    lanes[device].held = [:]
    lanes[device].waiting = []
    lanes[device].waitingCount = 0
    homes.remove(device)
    for work in held + waiting { submit(work) }
    distribute()
  }

  private func leastLoaded(_ among: Set<Int>) -> Int? {
    among.filter { !lanes[$0].isLost }.min { left, right in
      let (a, b) = (lanes[left].load * lanes[right].capacity, lanes[right].load * lanes[left].capacity)
      return a == b ? left < right : a < b
    }
  }

  /// Moves waiting pairs from the longest queue to a device that has none, as many as make the two equal.
  private mutating func give(to taker: Int) -> Bool {
    let giver = lanes.indices.filter { $0 != taker }.max { lanes[$0].waitingCount < lanes[$1].waitingCount }
    guard let giver, lanes[giver].waitingCount > 0 else { return false }
    let (capacity, both) = (lanes[taker].capacity, lanes[taker].capacity + lanes[giver].capacity)
    let share = ((lanes[taker].load + lanes[giver].load) * capacity + both - 1) / both
    let part = min(share - lanes[taker].load, lanes[giver].waitingCount)
    guard part > 0 else { return false }
    move(atMost: part, from: giver, to: taker)
    return true
  }

  /// Where all pairs together do not fill the devices, gives each its part of them: a device with half of its places
  /// empty is slower by more than the query's part of a prompt costs.
  private mutating func level() {
    let live = lanes.indices.filter { !lanes[$0].isLost }
    let places = live.reduce(0) { $0 + lanes[$1].capacity }
    let total = live.reduce(0) { $0 + lanes[$1].load }
    guard total <= places else { return }
    func excess(_ lane: Int) -> Int {
      min(lanes[lane].waitingCount, lanes[lane].load - (total * lanes[lane].capacity + places - 1) / places)
    }
    func want(_ lane: Int) -> Int { total * lanes[lane].capacity / places - lanes[lane].load }
    while let giver = live.max(by: { excess($0) < excess($1) }),
      let taker = live.max(by: { want($0) < want($1) }), excess(giver) > 0, want(taker) > 0
    {
      move(atMost: min(excess(giver), want(taker)), from: giver, to: taker)
    }
  }

  /// Moves a waiting query that the giver has not begun, where one has no more than `count` pairs, else the end of one
  /// query's pairs.
  ///
  /// - Parameter count: at least 1.
  private mutating func move(atMost count: Int, from giver: Int, to taker: Int) {
    let groups = lanes[giver].waiting
    let whole = groups.indices.last {
      groups[$0].pairs.count <= count && groups[$0].query != lanes[giver].lastTaken
    }
    guard let index = whole ?? groups.indices.last else { return }
    let query = groups[index].query
    let part = groups[index].pairs.suffix(count)
    if whole == nil { splits += 1 }
    if part.count == groups[index].pairs.count {
      lanes[giver].waiting.remove(at: index)
    } else {
      lanes[giver].waiting[index].pairs.removeLast(part.count)
    }
    lanes[giver].waitingCount -= part.count
    if query == lastQuery {
      if whole != nil { homes.remove(giver) }
      homes.insert(taker)
    }
    lanes[taker].append(Group(query: query, pairs: part))
  }
}
