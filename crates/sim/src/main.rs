//! Runs the stories and reports in one JSON line.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use groundcrew_sim::{crash, quiet_cuts, story};

fn main() {
    quiet_cuts();
    let stories = story::all();
    let next = AtomicUsize::new(0);
    let total = Mutex::new((0, 0));
    let filter = std::env::args().nth(1).unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(story) = stories.get(next.fetch_add(1, Ordering::SeqCst)) else {
                        return;
                    };
                    if !story.name.contains(&filter) {
                        continue;
                    }
                    let report = crash::everywhere(story, None);
                    let mut total = total.lock().unwrap();
                    total.0 += report.points;
                    total.1 += report.violations.len();
                    for what in report.violations.iter().take(2) {
                        println!("{what}");
                    }
                }
            });
        }
    });
    println!("{} stories {:?} points, violations", stories.len(), total);
}
