# Iterable jobs, which Sidekiq knows since 7.3. The element ITERBOOM raises.
class IterJob
  include Sidekiq::IterableJob

  def build_enumerator(count, pause, cursor:)
    event("build", count, pause, cursor)
    array_enumerator(count.times.map { |index| "item#{index}" }, cursor: cursor)
  end

  def each_iteration(item, _count, pause)
    event("each", item)
    raise "iter boom" if item == ENV["ITERBOOM"]
    sleep(pause)
  end

  %i[on_start on_resume on_stop on_cancel on_complete].each { |hook| define_method(hook) { event(hook) } }
end

# Its cursor is a hash; it tells the page it is at by the file `page`, not by an event.
class IterHash
  include Sidekiq::IterableJob

  def build_enumerator(cursor:)
    first = cursor ? cursor["page"] : 0
    Enumerator.new do |pages|
      (first..100).each { |page| pages.yield(page, {"page" => page, "tok" => "t#{page}"}) }
    end
  end

  def each_iteration(page)
    File.write("#{__dir__}/page", page)
    sleep(0.5)
  end
end
